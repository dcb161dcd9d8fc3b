import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Reads a topic with Kafka's own consumer, without a group, from its start to where it ended when the program began.
 *
 * <p>Arguments: bootstrap servers, topic, then consumer settings as {@code name=value}. For each record it prints
 * partition, offset, timestamp, key, value and headers, separated by tabs and written as {@code Produce} reads them.
 */
public final class Consume {
  public static void main(String[] args) {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", args[0]);
    settings.put("enable.auto.commit", "false");
    for (int i = 2; i < args.length; i++) {
      int equals = args[i].indexOf('=');
      settings.put(args[i].substring(0, equals), args[i].substring(equals + 1));
    }

    PrintStream out = new PrintStream(System.out, false, StandardCharsets.US_ASCII);
    var deserializer = new ByteArrayDeserializer();
    try (var consumer = new KafkaConsumer<byte[], byte[]>(settings, deserializer, deserializer)) {
      List<TopicPartition> partitions = new ArrayList<>();
      consumer.partitionsFor(args[1]).forEach(each -> partitions.add(new TopicPartition(args[1], each.partition())));
      consumer.assign(partitions);
      Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
      consumer.seekToBeginning(partitions);
      while (partitions.stream().anyMatch(each -> consumer.position(each) < ends.get(each))) {
        for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200))) {
          if (record.offset() < ends.get(new TopicPartition(record.topic(), record.partition()))) print(out, record);
        }
      }
    }
    out.flush();
  }

  private static void print(PrintStream out, ConsumerRecord<byte[], byte[]> record) {
    StringBuilder headers = new StringBuilder();
    for (Header header : record.headers()) {
      if (headers.length() > 0) headers.append(',');
      headers.append(hex(header.key().getBytes(StandardCharsets.UTF_8))).append('=').append(hex(header.value()));
    }
    out.println(record.partition() + "\t" + record.offset() + "\t" + record.timestamp() + "\t" + hex(record.key()) + "\t"
      + hex(record.value()) + "\t" + headers);
  }

  private static String hex(byte[] bytes) {
    return bytes == null ? "-" : HexFormat.of().formatHex(bytes);
  }
}
