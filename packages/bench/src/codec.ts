/**
 * CPU time of the record batch codec, in nanoseconds a record: `node packages/bench/src/codec.ts`. Values of 200 bytes
 * and keys of 10; the median of the rounds, and the fastest of them.
 */
import { computeBatchCrc } from "@sluice/kafka/internal/kernel/batchHeader"
import { gzip } from "@sluice/kafka/internal/kernel/compression"
import { crc32cJs, crc32cNative } from "@sluice/kafka/internal/kernel/crc32c"
import type { Header } from "@sluice/kafka/internal/kernel/header"
import { murmur2 } from "@sluice/kafka/internal/kernel/murmur2"
import { BatchBuilder, type CloseOptions } from "@sluice/kafka/internal/kernel/recordBatch"
import { decodeRecords } from "@sluice/kafka/internal/kernel/records"

const rounds = 9
const recordsPerRound = 300_000
const timestamp = 1_700_000_000_000

const json = Buffer.from(JSON.stringify({ id: "order-4711", customer: "c-17", lines: ["a", "b", "c"], total: 129.9 }))
const value = Buffer.alloc(200, json)
const keys = Array.from({ length: 1000 }, (_, index) => Buffer.from(`key-${String(index).padStart(6, "0")}`))
const traced: ReadonlyArray<Header> = [{
  key: "traceparent",
  value: Buffer.from("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
}]

const median = (values: Array<number>): number => values.sort((one, other) => one - other)[values.length >> 1]!

/** Keeps results alive, so that no work is optimised away. */
const kept: Array<unknown> = []

/** Runs `batch`, which handles `batchSize` records, often enough for each round; prints a line. */
const measure = (name: string, batchSize: number, batch: () => unknown): void => {
  const repeats = Math.max(1, Math.round(recordsPerRound / batchSize))
  const perRecord: Array<number> = []
  for (let round = -2; round < rounds; round++) {
    const before = process.cpuUsage()
    for (let repeat = 0; repeat < repeats; repeat++) kept[0] = batch()
    const { system, user } = process.cpuUsage(before)
    if (round >= 0) perRecord.push((user + system) * 1000 / (repeats * batchSize))
  }
  const middle = median(perRecord)
  console.log(`${name.padEnd(52)} ${middle.toFixed(0).padStart(6)} ns  (fastest ${perRecord[0]!.toFixed(0)})`)
}

const build = (count: number, headers: ReadonlyArray<Header>, options?: CloseOptions): Uint8Array => {
  const builder = new BatchBuilder()
  for (let index = 0; index < count; index++) {
    builder.append(timestamp + (index >> 4), keys[index % keys.length]!, value, headers)
  }
  return builder.close(options)
}

console.log(`Node ${process.version}, crc32c ${crc32cNative === undefined ? "in JavaScript" : "native"}`)
for (const count of [1, 10, 100, 1000, 10_000]) {
  measure(`encode, ${count} a batch`, count, () => build(count, []))
}
measure("encode, 1000 a batch, traceparent", 1000, () => build(1000, traced))
measure("encode, 1000 a batch, gzip", 1000, () => build(1000, [], { codec: gzip }))

for (const count of [1, 10, 100, 1000, 10_000]) {
  const batch = build(count, [])
  measure(`decode, ${count} a batch`, count, () => decodeRecords(batch, { fetchOffset: 0 }))
}
const plain = build(1000, [])
const withHeaders = build(1000, traced)
const compressed = build(1000, [], { codec: gzip })
const readAll = (batch: Uint8Array, withHeaderList: boolean) => () => {
  let bytes = 0
  for (const { records } of decodeRecords(batch, { fetchOffset: 0 }).chunks) {
    for (const record of records) {
      bytes += record.key!.length + record.value!.length
      if (withHeaderList) bytes += record.headers.length
    }
  }
  return bytes
}
measure("decode, 1000 a batch, key and value read", 1000, readAll(plain, false))
measure("decode, 1000 a batch, traceparent not read", 1000, () => decodeRecords(withHeaders, { fetchOffset: 0 }))
measure("decode, 1000 a batch, key, value, headers read", 1000, readAll(withHeaders, true))
measure("decode, 1000 a batch, gzip", 1000, () => decodeRecords(compressed, { fetchOffset: 0 }))

measure("crc32c as used, 1000 a batch", 1000, () => computeBatchCrc(plain, 0, plain.length))
measure("crc32c in JavaScript, 1000 a batch", 1000, () => crc32cJs(plain))
measure("murmur2 of the key", 1000, () => {
  let sum = 0
  for (const key of keys) sum += murmur2(key)
  return sum
})
