/** Record batches that we write, read by the classes of Kafka's own client. */
import { assert, describe, it } from "@effect/vitest"
import { placeBatch } from "@sluice/kafka/internal/kernel/batchHeader"
import { builtInCodecs } from "@sluice/kafka/internal/kernel/compression"
import { BatchBuilder, restamp } from "@sluice/kafka/internal/kernel/recordBatch"
import { FastCheck } from "effect"

import { runJava } from "./support/javaTool.ts"

const bytes = FastCheck.option(FastCheck.oneof(
  FastCheck.uint8Array({ maxLength: 100 }),
  FastCheck.constantFrom(63, 64, 8_191, 8_192, 70_000).map((length) => new Uint8Array(length).fill(length))
))

const record = FastCheck.record({
  timestamp: FastCheck.oneof(
    FastCheck.constantFrom(-1, 0, 2 ** 31, Number.MAX_SAFE_INTEGER),
    FastCheck.integer({ min: 1_700_000_000_000, max: 1_700_000_100_000 }),
    FastCheck.maxSafeNat()
  ),
  key: bytes,
  value: bytes,
  headers: FastCheck.array(FastCheck.record({ key: FastCheck.string({ unit: "binary" }), value: bytes }), {
    maxLength: 5
  })
})

/** Who wrote a batch. */
const stamp = FastCheck.record({
  producerId: FastCheck.constantFrom(-1, 0, 4_711, 2 ** 40),
  producerEpoch: FastCheck.integer({ min: -1, max: 32_767 }),
  baseSequence: FastCheck.integer({ min: -1, max: 2_147_483_647 }),
  isTransactional: FastCheck.boolean()
})

const batches = FastCheck.array(
  FastCheck.record({
    records: FastCheck.array(record, { minLength: 1, maxLength: 40 }),
    stamp,
    restamped: FastCheck.option(stamp, { nil: undefined })
  }),
  { minLength: 40, maxLength: 60 }
)

const hex = (content: Uint8Array | null): string | null =>
  content === null ? null : Buffer.from(content).toString("hex")

describe("batches that we write", () => {
  for (const codec of [0, 1, 2, 3, 4].map(builtInCodecs)) {
    const name = codec?.type ?? "none"
    it(`are read by Kafka's classes as they were meant, compression ${name}`, async () => {
      let baseOffset = 1_000
      const written = FastCheck.sample(batches, { seed: 42, numRuns: 1 })[0]!.map(({ records, restamped, stamp }) => {
        const builder = new BatchBuilder()
        for (const { headers, key, timestamp, value } of records) builder.append(timestamp, key, value, headers)
        const { size } = builder
        const batch = builder.close({ ...stamp, codec })
        // Kafka derives the kind of the batch from its attributes, which restamping leaves.
        const last = restamped === undefined ? stamp : { ...restamped, isTransactional: stamp.isTransactional }
        if (restamped !== undefined) restamp(batch, last.producerId, last.producerEpoch, last.baseSequence)
        placeBatch(batch, baseOffset, 5)
        const expected = {
          baseOffset,
          lastOffset: baseOffset + records.length - 1,
          leaderEpoch: 5,
          maxTimestamp: Math.max(...records.map(({ timestamp }) => timestamp)),
          timestampType: "CreateTime",
          compression: batch.length < size ? name : "none",
          producerId: last.producerId,
          producerEpoch: last.producerEpoch,
          baseSequence: last.baseSequence,
          transactional: last.isTransactional,
          control: false,
          records: records.map(({ headers, key, timestamp, value }, index) => ({
            offset: baseOffset + index,
            timestamp,
            key: hex(key),
            value: hex(value),
            headers: headers.map((header) => [hex(Buffer.from(header.key)), hex(header.value)])
          }))
        }
        baseOffset += records.length
        return { batch, expected }
      })
      assert.isTrue(written.some(({ expected }) => expected.compression === name))
      const input = Buffer.concat(written.map(({ batch }) => batch))
      const lines = (await runJava("BatchCheck.java", [], { input })).trim().split("\n")
      assert.deepStrictEqual(lines.map((line) => JSON.parse(line) as unknown), written.map(({ expected }) => expected))
    })
  }
})
