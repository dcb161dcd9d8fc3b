import java.io.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * One KRaft broker: formats its storage where that is asked for, then runs it, in one JVM instead of two.
 *
 * <p>Standard input is held open by the process that started it. When that process ends, however it ends, the input
 * ends too: the broker then deletes its data and halts, so no broker outlives the tests.
 *
 * <p>Arguments: the properties file, the folder to delete, then the arguments of {@code kafka-storage format} if the
 * storage is new.
 */
public final class Broker {
  public static void main(String[] args) throws Exception {
    String properties = args[0];
    File home = new File(args[1]);
    Thread watcher = new Thread(() -> haltWithParent(home), "parent-watcher");
    watcher.setDaemon(true);
    watcher.start();

    if (args.length > 2) {
      List<String> format = new ArrayList<>(List.of("format", "--config", properties));
      format.addAll(Arrays.asList(args).subList(2, args.length));
      int status = kafka.tools.StorageTool.execute(format.toArray(new String[0]), System.err);
      if (status != 0) System.exit(status);
    }
    kafka.Kafka.main(new String[] {properties});
  }

  private static void haltWithParent(File home) {
    try {
      while (System.in.read() >= 0) {
        // Nothing is ever written: only the end of the input matters.
      }
    } catch (IOException ended) {
      // The pipe broke: the same as its end.
    }
    delete(home);
    File cluster = home.getParentFile();
    String[] siblings = cluster.list();
    if (siblings == null || siblings.length == 0) cluster.delete();
    Runtime.getRuntime().halt(1);
  }

  private static void delete(File file) {
    File[] children = file.listFiles();
    if (children != null) for (File child : children) delete(child);
    file.delete();
  }
}
