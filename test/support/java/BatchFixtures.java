import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.CompressionType;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecords.RecordFilter;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.common.record.internal.SimpleRecord;
import org.apache.kafka.common.utils.BufferSupplier;

/**
 * Writes record batches with Kafka's own classes, a file {@code NAME.bin} for each case, into the folder that is its
 * argument. {@code packages/kafka/test/fixtures/batches/README.md} tells how the fixtures are made from it.
 */
public final class BatchFixtures {
  private static final long NOW = 1_700_000_000_000L;
  private static final int LEADER_EPOCH = 7;
  private static final Header[] NO_HEADERS = {};

  private static Path folder;

  public static void main(String[] args) throws IOException {
    folder = Path.of(args[0]);
    write("plain", batch(100, Compression.NONE, ordinary()));
    for (CompressionType type : List.of(CompressionType.GZIP, CompressionType.SNAPPY, CompressionType.LZ4, CompressionType.ZSTD)) {
      write(type.name, batch(100, Compression.of(type).build(), ordinary()), batch(200, Compression.of(type).build(), many(100)));
    }
    write("idempotent", MemoryRecords.withIdempotentRecords(RecordBatch.CURRENT_MAGIC_VALUE, 5_000_000_000L, Compression.NONE,
      4711L, (short) 3, 17, LEADER_EPOCH, many(3)).buffer());
    write("timestamps", batch(0, Compression.NONE, at(NOW), at(NOW - 1), at(-1), at(0), at(NOW + 64), at(NOW - 8_192)),
      batch(6, Compression.NONE, at(-1), at((1L << 53) - 1), at(0)),
      batch(9, Compression.NONE, at((1L << 53) - 1), at(-1), at(1L << 31), at((1L << 52) + 1)),
      batch(13, Compression.NONE, at(-1)));
    write("nanoseconds", batch(0, Compression.NONE, at(1_700_000_000_123_456_789L)));
    write("logAppendTime", logAppendTime(40));
    write("transactions", transactions());
    write("compacted", compacted());
    write("magic1", oldFormat(RecordBatch.MAGIC_VALUE_V1));
    write("magic0", oldFormat(RecordBatch.MAGIC_VALUE_V0));
  }

  /** Each kind of key, value and header. */
  private static SimpleRecord[] ordinary() {
    byte[] large = new byte[9_000];
    for (int i = 0; i < large.length; i++) large[i] = (byte) (i / 100);
    return new SimpleRecord[] {
      record(0, "key", "value"),
      record(1, null, "no key"),
      record(2, "tombstone", null),
      record(3, null, null),
      record(4, "", ""),
      record(5, "headers", "two of a name", header("a", "1"), header("b", "2"), header("a", "3")),
      record(6, "headers", "null, empty, not ASCII", header("null", null), header("empty", ""), header("", "no name"),
        header("größe-\uD83D\uDE00", "€")),
      record(7, "x".repeat(130), "y".repeat(300)),
      new SimpleRecord(NOW + 8, bytes("large"), large, NO_HEADERS),
      new SimpleRecord(NOW + 9, new byte[] {0, -1, -128}, new byte[] {127, -2}, NO_HEADERS)
    };
  }

  private static SimpleRecord[] many(int count) {
    SimpleRecord[] records = new SimpleRecord[count];
    for (int i = 0; i < count; i++) records[i] = record(i * 1_000, "key-" + i, "value-" + i);
    return records;
  }

  /** Two aborted transactions, two committed ones and records of none, interleaved, by three producers. */
  private static ByteBuffer[] transactions() {
    return new ByteBuffer[] {
      transactional(0, 1, 0, "committed-1a"),
      transactional(2, 2, 0, "aborted-2a", "aborted-2b"),
      batch(4, Compression.NONE, record(4, null, "plain-a")),
      transactional(5, 1, 1, "committed-1b"),
      marker(6, 1, ControlRecordType.COMMIT),
      transactional(7, 2, 2, "aborted-2c"),
      transactional(8, 1, 2, "aborted-1c"),
      marker(9, 2, ControlRecordType.ABORT),
      transactional(10, 2, 3, "committed-2d"),
      marker(11, 1, ControlRecordType.ABORT),
      transactional(12, 1, 3, "committed-1d"),
      MemoryRecords.withIdempotentRecords(RecordBatch.CURRENT_MAGIC_VALUE, 13, Compression.NONE, 3L, (short) 0, 0,
        LEADER_EPOCH, record(13, null, "plain-b")).buffer(),
      marker(14, 1, ControlRecordType.COMMIT),
      marker(15, 2, ControlRecordType.COMMIT)
    };
  }

  /** What the log cleaner leaves: gaps, a tombstone that has its delete horizon, and a batch whose records are all gone. */
  private static ByteBuffer compacted() {
    SimpleRecord[] withTombstone = {record(0, "a", "1"), record(1, "b", "2"), record(2, "c", null), record(3, "d", "4")};
    ByteBuffer log = concatenated(batch(10, Compression.NONE, many(10)), batch(20, Compression.gzip().build(), many(10)),
      batch(30, Compression.NONE, withTombstone), batch(34, Compression.NONE, many(5)));
    Set<Long> kept = Set.of(10L, 13L, 17L, 24L, 32L, 33L);
    RecordFilter cleaner = new RecordFilter(NOW + 100_000, 86_400_000) {
      @Override
      protected BatchRetentionResult checkBatchRetention(RecordBatch batch) {
        return new BatchRetentionResult(BatchRetention.RETAIN_EMPTY, false);
      }

      @Override
      protected boolean shouldRetainRecord(RecordBatch batch, Record record) {
        return kept.contains(record.offset());
      }
    };
    ByteBuffer cleaned = ByteBuffer.allocate(log.remaining() + 1_024);
    MemoryRecords.readableRecords(log).filterTo(cleaner, cleaned, BufferSupplier.NO_CACHING);
    cleaned.flip();
    return cleaned;
  }

  /** As a broker stamps a producer's batch: one timestamp for all, in the header only. */
  private static ByteBuffer logAppendTime(long baseOffset) {
    ByteBuffer buffer = batch(baseOffset, Compression.NONE, record(0, "a", "1"), record(5, "b", "2"), record(-5, "c", "3"));
    MemoryRecords.readableRecords(buffer).batches().iterator().next()
      .setMaxTimestamp(TimestampType.LOG_APPEND_TIME, NOW + 12_345);
    return buffer;
  }

  private static ByteBuffer oldFormat(byte magic) {
    MemoryRecordsBuilder builder = MemoryRecords.builder(ByteBuffer.allocate(1_024), magic, Compression.NONE,
      TimestampType.CREATE_TIME, 3L);
    for (SimpleRecord each : many(2)) builder.append(each);
    return builder.build().buffer();
  }

  private static ByteBuffer batch(long baseOffset, Compression compression, SimpleRecord... records) {
    return MemoryRecords.withRecords(baseOffset, compression, LEADER_EPOCH, records).buffer();
  }

  private static ByteBuffer transactional(long baseOffset, long producerId, int baseSequence, String... values) {
    List<SimpleRecord> records = new ArrayList<>();
    for (String value : values) records.add(record(baseOffset + records.size(), "key", value));
    return MemoryRecords.withTransactionalRecords(baseOffset, Compression.NONE, producerId, (short) 0, baseSequence,
      LEADER_EPOCH, records.toArray(SimpleRecord[]::new)).buffer();
  }

  private static ByteBuffer marker(long offset, long producerId, ControlRecordType type) {
    return MemoryRecords.withEndTransactionMarker(offset, NOW + offset, LEADER_EPOCH, producerId, (short) 0,
      new EndTransactionMarker(type, 1)).buffer();
  }

  private static SimpleRecord at(long timestamp) {
    return new SimpleRecord(timestamp, null, bytes("at " + timestamp), NO_HEADERS);
  }

  private static SimpleRecord record(long afterNow, String key, String value, Header... headers) {
    return new SimpleRecord(NOW + afterNow, bytes(key), bytes(value), headers);
  }

  private static Header header(String key, String value) {
    return new RecordHeader(key, bytes(value));
  }

  private static byte[] bytes(String text) {
    return text == null ? null : text.getBytes(StandardCharsets.UTF_8);
  }

  private static ByteBuffer concatenated(ByteBuffer... parts) {
    ByteBuffer whole = ByteBuffer.allocate(List.of(parts).stream().mapToInt(ByteBuffer::remaining).sum());
    for (ByteBuffer part : parts) whole.put(part.duplicate());
    whole.flip();
    return whole;
  }

  private static void write(String name, ByteBuffer... parts) throws IOException {
    ByteBuffer whole = concatenated(parts);
    Files.write(folder.resolve(name + ".bin"), java.util.Arrays.copyOf(whole.array(), whole.limit()));
  }
}
