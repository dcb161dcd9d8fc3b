import java.io.IOException;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.StringJoiner;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.RecordBatch;

/**
 * Reads record batches from standard input with Kafka's own classes, checks them (the checksum too) and prints each as
 * one line of JSON. Keys, values and header names are hexadecimal.
 */
public final class BatchCheck {
  public static void main(String[] args) throws IOException {
    PrintStream out = new PrintStream(System.out, false, StandardCharsets.US_ASCII);
    MemoryRecords records = MemoryRecords.readableRecords(ByteBuffer.wrap(System.in.readAllBytes()));
    for (RecordBatch batch : records.batches()) {
      batch.ensureValid();
      StringJoiner lines = new StringJoiner(",");
      for (Record record : batch) {
        record.ensureValid();
        lines.add(json(record));
      }
      out.println("{\"baseOffset\":" + batch.baseOffset() + ",\"lastOffset\":" + batch.lastOffset()
        + ",\"leaderEpoch\":" + batch.partitionLeaderEpoch() + ",\"maxTimestamp\":" + batch.maxTimestamp()
        + ",\"timestampType\":\"" + batch.timestampType() + "\",\"compression\":\"" + batch.compressionType().name
        + "\",\"producerId\":" + batch.producerId() + ",\"producerEpoch\":" + batch.producerEpoch()
        + ",\"baseSequence\":" + batch.baseSequence() + ",\"transactional\":" + batch.isTransactional()
        + ",\"control\":" + batch.isControlBatch() + ",\"records\":[" + lines + "]}");
    }
    out.flush();
  }

  private static String json(Record record) {
    StringJoiner headers = new StringJoiner(",");
    for (Header header : record.headers()) {
      String key = HexFormat.of().formatHex(header.key().getBytes(StandardCharsets.UTF_8));
      headers.add("[\"" + key + "\"," + hex(header.value() == null ? null : ByteBuffer.wrap(header.value())) + "]");
    }
    return "{\"offset\":" + record.offset() + ",\"timestamp\":" + record.timestamp() + ",\"key\":" + hex(record.key())
      + ",\"value\":" + hex(record.value()) + ",\"headers\":[" + headers + "]}";
  }

  private static String hex(ByteBuffer bytes) {
    if (bytes == null) return "null";
    byte[] copy = new byte[bytes.remaining()];
    bytes.duplicate().get(copy);
    return "\"" + HexFormat.of().formatHex(copy) + "\"";
  }
}
