import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Writes records with Kafka's own producer.
 *
 * <p>Arguments: bootstrap servers, topic, {@code none | commit | abort} (the end of the transaction that holds all of
 * them), then producer settings as {@code name=value}.
 *
 * <p>Each line of the input is a record, its fields separated by tabs: partition, timestamp, key, value, headers. Bytes
 * are hexadecimal and {@code -} stands for nothing (the partitioner's choice, now, null). Headers are
 * {@code name=value} separated by commas, the name in hexadecimal too. For each record, in order, it prints partition,
 * offset and timestamp.
 */
public final class Produce {
  public static void main(String[] args) throws Exception {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", args[0]);
    for (int i = 3; i < args.length; i++) {
      int equals = args[i].indexOf('=');
      settings.put(args[i].substring(0, equals), args[i].substring(equals + 1));
    }
    String topic = args[1];
    String transaction = args[2];

    List<Future<RecordMetadata>> sent = new ArrayList<>();
    var serializer = new ByteArraySerializer();
    try (var producer = new KafkaProducer<byte[], byte[]>(settings, serializer, serializer)) {
      if (!transaction.equals("none")) {
        producer.initTransactions();
        producer.beginTransaction();
      }
      var input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
      for (String line = input.readLine(); line != null; line = input.readLine()) {
        if (!line.isEmpty()) sent.add(producer.send(record(topic, line.split("\t", -1))));
      }
      producer.flush();
      if (transaction.equals("commit")) producer.commitTransaction();
      if (transaction.equals("abort")) producer.abortTransaction();
    }

    PrintStream out = new PrintStream(System.out, false, StandardCharsets.US_ASCII);
    for (Future<RecordMetadata> each : sent) {
      RecordMetadata metadata = each.get();
      out.println(metadata.partition() + "\t" + metadata.offset() + "\t" + metadata.timestamp());
    }
    out.flush();
  }

  private static ProducerRecord<byte[], byte[]> record(String topic, String[] fields) {
    Integer partition = fields[0].equals("-") ? null : Integer.valueOf(fields[0]);
    Long timestamp = fields[1].equals("-") ? null : Long.valueOf(fields[1]);
    List<Header> headers = new ArrayList<>();
    if (!fields[4].isEmpty()) {
      for (String header : fields[4].split(",")) {
        int equals = header.indexOf('=');
        String name = new String(bytes(header.substring(0, equals)), StandardCharsets.UTF_8);
        headers.add(new RecordHeader(name, bytes(header.substring(equals + 1))));
      }
    }
    return new ProducerRecord<>(topic, partition, timestamp, bytes(fields[2]), bytes(fields[3]), headers);
  }

  private static byte[] bytes(String hex) {
    return hex.equals("-") ? null : HexFormat.of().parseHex(hex);
  }
}
