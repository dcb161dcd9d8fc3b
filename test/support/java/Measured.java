import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.tools.ConsumerPerformance;
import org.apache.kafka.tools.ProducerPerformance;

/**
 * Measures Kafka's own clients, and prints one line of JSON. Arguments:
 *
 * <ul>
 * <li>{@code produce <records to warm up> <records>} and ProducerPerformance's own but "--num-records"
 * <li>{@code consume <records to warm up> <records> <group>} and ConsumerPerformance's own but "--num-records", "--group"
 * <li>{@code pass <brokers> <topic> <group> <records a second> <records to warm up> <records>}: sends and reads
 * <li>{@code idle <brokers> <topic> <group> <seconds>}: a consumer of an empty topic
 * </ul>
 */
public final class Measured {
  private static final Pattern PRODUCED = Pattern.compile(
    "(\\d+) records sent, ([\\d.]+) records/sec .* (\\d+) ms 50th, (\\d+) ms 95th, (\\d+) ms 99th, (\\d+) ms 99.9th");
  private static final int VALUE_SIZE = 200;
  private static final int KEYS = 4_096;

  public static void main(String[] args) throws Exception {
    String[] rest = Arrays.copyOfRange(args, 1, args.length);
    switch (args[0]) {
      case "produce" -> produce(rest);
      case "consume" -> consume(rest);
      case "pass" -> pass(rest);
      case "idle" -> idle(rest);
      default -> throw new IllegalArgumentException(args[0]);
    }
    System.exit(0);
  }

  private interface Tool {
    void run(String[] args) throws Exception;
  }

  /** Twice in one JVM, to warm up and then to be measured. */
  private static void produce(String[] args) throws Exception {
    String[] rest = Arrays.copyOfRange(args, 2, args.length);
    outputOf(ProducerPerformance::main, with(rest, "--num-records", args[0]));
    Usage usage = new Usage();
    String output = outputOf(ProducerPerformance::main, with(rest, "--num-records", args[1]));
    double cpuSeconds = usage.cpuSeconds();
    Matcher result = PRODUCED.matcher(output);
    String last = null;
    while (result.find()) {
      long records = Long.parseLong(result.group(1));
      last = line(records, Long.parseLong(args[0]) + records, records / Double.parseDouble(result.group(2)), cpuSeconds,
        latency(result.group(3) + "000", result.group(5) + "000", result.group(6) + "000"));
    }
    if (last == null) throw new IllegalStateException("no result in: " + output);
    System.out.println(last);
  }

  /** Twice too, by two groups; the clock runs until the consumer has committed and left. */
  private static void consume(String[] args) throws Exception {
    String[] rest = with(Arrays.copyOfRange(args, 3, args.length), "--hide-header");
    outputOf(ConsumerPerformance::main, with(rest, "--num-records", args[0], "--group", args[2] + "-warm-up"));
    Usage usage = new Usage();
    String output = outputOf(ConsumerPerformance::main, with(rest, "--num-records", args[1], "--group", args[2]));
    long records = Long.parseLong(args[1]);
    String result = usage.line(records, records, "");
    String[] fields = output.trim().split(", ");
    if (fields.length < 5 || !fields[4].equals(args[1])) throw new IllegalStateException("not all was read: " + output);
    System.out.println(result);
  }

  private static void pass(String[] args) throws Exception {
    String topic = args[1];
    int rate = Integer.parseInt(args[3]);
    int warmUp = Integer.parseInt(args[4]);
    int records = Integer.parseInt(args[5]);
    long[] due = new long[warmUp + records];
    long[] latencies = new long[warmUp + records];
    AtomicInteger read = new AtomicInteger();
    Reader reader = new Reader(args[0], topic, args[2], record -> {
      int index = Integer.parseInt(new String(record.value(), 0, 12, StandardCharsets.ISO_8859_1).trim());
      latencies[index] = System.nanoTime() - due[index];
      read.incrementAndGet();
    });
    Properties properties = new Properties();
    properties.put("bootstrap.servers", args[0]);
    properties.put("acks", "all");
    properties.put("linger.ms", "0");
    try (var producer = new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer())) {
      byte[] filler = "a".repeat(VALUE_SIZE - 12).getBytes(StandardCharsets.ISO_8859_1);
      Usage usage = null;
      for (int part = 0; part < 2; part++) {
        int first = part == 0 ? 0 : warmUp;
        int end = part == 0 ? warmUp : warmUp + records;
        usage = new Usage();
        long start = System.nanoTime();
        for (int i = first; i < end; i++) {
          due[i] = start + (long) ((i - first) * 1e9 / rate);
          for (long left = due[i] - System.nanoTime(); left > 0; left = due[i] - System.nanoTime()) {
            LockSupport.parkNanos(left);
          }
          byte[] value = new byte[VALUE_SIZE];
          System.arraycopy(String.format("%012d", i).getBytes(StandardCharsets.ISO_8859_1), 0, value, 0, 12);
          System.arraycopy(filler, 0, value, 12, filler.length);
          byte[] key = String.format("key-%06d", i % KEYS).getBytes(StandardCharsets.ISO_8859_1);
          producer.send(new ProducerRecord<>(topic, key, value));
        }
        long deadline = System.nanoTime() + 30_000_000_000L;
        while (read.get() < end && System.nanoTime() < deadline) Thread.sleep(5);
        if (read.get() != end) throw new IllegalStateException(read.get() + " records were read instead of " + end);
      }
      long[] sorted = Arrays.copyOfRange(latencies, warmUp, warmUp + records);
      Arrays.sort(sorted);
      System.out.println(usage.line(records, warmUp + records, latency(micros(sorted, 0.5), micros(sorted, 0.99), micros(sorted, 0.999))));
    }
    reader.stop();
  }

  private static void idle(String[] args) throws Exception {
    Reader reader = new Reader(args[0], args[1], args[2], record -> { });
    long millis = (long) (Double.parseDouble(args[3]) * 1_000);
    Thread.sleep(Math.min(3_000, millis));
    Usage usage = new Usage();
    Thread.sleep(millis);
    System.out.println(usage.line(0, 0, ""));
    reader.stop();
  }

  private interface Handler {
    void handle(ConsumerRecord<byte[], byte[]> record);
  }

  /** A consumer in a thread of its own; made once it has its partitions. */
  private static final class Reader {
    private volatile boolean running = true;
    private final Thread thread;

    Reader(String brokers, String topic, String group, Handler handler) throws Exception {
      Properties properties = new Properties();
      properties.put("bootstrap.servers", brokers);
      properties.put("group.id", group);
      properties.put("auto.offset.reset", "earliest");
      CountDownLatch assigned = new CountDownLatch(1);
      thread = new Thread(() -> {
        try (var consumer = new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
          consumer.subscribe(List.of(topic), new ConsumerRebalanceListener() {
            @Override public void onPartitionsRevoked(Collection<TopicPartition> partitions) { }
            @Override public void onPartitionsAssigned(Collection<TopicPartition> partitions) { assigned.countDown(); }
          });
          while (running) for (var record : consumer.poll(Duration.ofMillis(500))) handler.handle(record);
        }
      });
      thread.start();
      assigned.await();
    }

    void stop() throws Exception {
      running = false;
      thread.join();
    }
  }

  /** The time that passes, and that of the processor, from when it is made. */
  private static final class Usage {
    private final long start = System.nanoTime();
    private final long cpu = cpuNanos();

    double cpuSeconds() {
      return (cpuNanos() - cpu) / 1e9;
    }

    String line(long records, long total, String latency) throws Exception {
      return Measured.line(records, total, (System.nanoTime() - start) / 1e9, cpuSeconds(), latency);
    }

    private static long cpuNanos() {
      var system = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
      return system.getProcessCpuTime();
    }
  }

  private static String line(long records, long total, double seconds, double cpuSeconds, String latency) throws Exception {
    return "{\"records\":" + records + ",\"total\":" + total + ",\"seconds\":" + seconds + ",\"cpuSeconds\":" + cpuSeconds
      + ",\"peakRssMb\":" + peakRssMb() + latency + "}";
  }

  private static String latency(String p50, String p99, String p999) {
    return ",\"latency\":{\"p50\":" + p50 + ",\"p99\":" + p99 + ",\"p999\":" + p999 + "}";
  }

  private static String micros(long[] sorted, double share) {
    return String.valueOf(sorted[(int) Math.min(sorted.length - 1, share * sorted.length)] / 1e3);
  }

  private static String[] with(String[] args, String... more) {
    String[] all = Arrays.copyOf(args, args.length + more.length);
    System.arraycopy(more, 0, all, args.length, more.length);
    return all;
  }

  private static String outputOf(Tool tool, String[] args) throws Exception {
    PrintStream out = System.out;
    ByteArrayOutputStream said = new ByteArrayOutputStream();
    System.setOut(new PrintStream(said, true, StandardCharsets.UTF_8));
    try {
      tool.run(args);
    } finally {
      System.setOut(out);
    }
    return said.toString(StandardCharsets.UTF_8);
  }

  /** 0 where the system does not tell. */
  private static long peakRssMb() throws Exception {
    Path status = Path.of("/proc/self/status");
    if (!Files.exists(status)) return 0;
    for (String each : Files.readAllLines(status)) {
      if (each.startsWith("VmHWM:")) return Long.parseLong(each.replaceAll("\\D", "")) / 1024;
    }
    return 0;
  }
}
