import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.kafka.tools.ProducerPerformance;

/**
 * Runs Kafka's ProducerPerformance twice in one JVM, to warm up and then to be measured, and prints one line of JSON:
 * arguments are the records of the first run, those of the second, and then its own arguments but "--num-records".
 */
public final class MeasuredProducer {
  private static final Pattern RESULT = Pattern.compile(
    "(\\d+) records sent, ([\\d.]+) records/sec .* (\\d+) ms 50th, (\\d+) ms 95th, (\\d+) ms 99th, (\\d+) ms 99.9th");

  public static void main(String[] args) throws Exception {
    String[] rest = Arrays.copyOfRange(args, 2, args.length);
    run(args[0], rest);
    long cpu = cpuNanos();
    String output = run(args[1], rest);
    double cpuSeconds = (cpuNanos() - cpu) / 1e9;
    Matcher result = RESULT.matcher(output);
    String last = null;
    while (result.find()) {
      long records = Long.parseLong(result.group(1));
      last = "{\"records\":" + records + ",\"total\":" + (Long.parseLong(args[0]) + records)
        + ",\"seconds\":" + records / Double.parseDouble(result.group(2)) + ",\"cpuSeconds\":" + cpuSeconds
        + ",\"peakRssMb\":" + peakRssMb() + ",\"latency\":{\"p50\":" + result.group(3) + "000,\"p99\":"
        + result.group(5) + "000,\"p999\":" + result.group(6) + "000}}";
    }
    if (last == null) throw new IllegalStateException("no result in: " + output);
    System.out.println(last);
    System.exit(0);
  }

  private static String run(String records, String[] rest) throws Exception {
    String[] args = new String[rest.length + 2];
    args[0] = "--num-records";
    args[1] = records;
    System.arraycopy(rest, 0, args, 2, rest.length);
    PrintStream out = System.out;
    ByteArrayOutputStream said = new ByteArrayOutputStream();
    System.setOut(new PrintStream(said, true, StandardCharsets.UTF_8));
    try {
      ProducerPerformance.main(args);
    } finally {
      System.setOut(out);
    }
    return said.toString(StandardCharsets.UTF_8);
  }

  private static long cpuNanos() {
    return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
  }

  /** 0 where the system does not tell. */
  private static long peakRssMb() throws Exception {
    Path status = Path.of("/proc/self/status");
    if (!Files.exists(status)) return 0;
    for (String line : Files.readAllLines(status)) {
      if (line.startsWith("VmHWM:")) return Long.parseLong(line.replaceAll("\\D", "")) / 1024;
    }
    return 0;
  }
}
