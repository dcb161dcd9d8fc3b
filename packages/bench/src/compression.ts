/**
 * How fast the codecs are, and how much smaller they make batches of JSON records of 200 bytes:
 * `node packages/bench/src/compression.ts`. Megabytes of records a second of CPU time, in the fastest of the rounds.
 */
import { batchHeaderSize } from "@sluice/kafka/internal/kernel/batchHeader"
import { builtInCodecs, type Codec, gzipAt, zstdAt } from "@sluice/kafka/internal/kernel/compression"
import { BatchBuilder } from "@sluice/kafka/internal/kernel/recordBatch"

const rounds = 9
const bytesPerRound = 12_000_000
const maxSize = 128 * 1024 * 1024

/** The same numbers in every run, from 0 to below `limit`. */
let seed = 42
const random = (limit: number): number => {
  seed = (seed + 0x6d2b79f5) | 0
  let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
  return ((mixed ^ (mixed >>> 14)) >>> 0) % limit
}

const order = (number: number): Buffer => {
  const text = JSON.stringify({
    id: `order-${1_000_000 + number}`,
    customer: `customer-${random(5_000)}`,
    at: new Date(1_700_000_000_000 + 37 * number + random(30)).toISOString(),
    status: ["new", "paid", "shipped", "cancelled"][random(4)],
    total: random(100_000) / 100,
    lines: [{ sku: `sku-${random(900)}`, quantity: random(9) + 1 }],
    token: Array.from({ length: 32 }, () => random(16).toString(16)).join("")
  })
  return Buffer.from(text.slice(0, 200).padEnd(200))
}

/** The records of a batch of about that many bytes. */
const recordsOf = (size: number): Uint8Array => {
  const builder = new BatchBuilder(2 * size)
  while (builder.size < size) builder.append(1_700_000_000_000 + builder.count, null, order(builder.count), [])
  return builder.close().subarray(batchHeaderSize)
}

/** Megabytes a second. */
const speedOf = (size: number, task: () => unknown): number => {
  const repeats = Math.max(2, Math.round(bytesPerRound / size))
  let fastest = 0
  for (let round = 0; round < rounds; round++) {
    const before = process.cpuUsage()
    for (let repeat = 0; repeat < repeats; repeat++) task()
    const { system, user } = process.cpuUsage(before)
    fastest = Math.max(fastest, size * repeats / (user + system))
  }
  return fastest
}

const codecs: ReadonlyArray<readonly [name: string, codec: Codec | undefined]> = [
  ["gzip", builtInCodecs(1)],
  ["gzip, level 1", gzipAt(1)],
  ["snappy", builtInCodecs(2)],
  ["lz4", builtInCodecs(3)],
  ["zstd", builtInCodecs(4)],
  ["zstd, level 1", zstdAt(1)]
]

console.log(`Node ${process.version}`)
for (const kibibytes of [16, 128, 1024]) {
  const records = recordsOf(1024 * kibibytes)
  for (const [name, codec] of codecs) {
    if (codec === undefined) continue
    const compressed = codec.compress(records)
    const compress = speedOf(records.length, () => codec.compress(records))
    const decompress = speedOf(records.length, () => codec.decompress(compressed, maxSize))
    console.log(
      `${`${kibibytes} KiB`.padEnd(9)} ${name.padEnd(14)} to 1/${(records.length / compressed.length).toFixed(1)}` +
        `   compress ${compress.toFixed(0).padStart(5)} MB/s` +
        `   decompress ${decompress.toFixed(0).padStart(5)} MB/s`
    )
  }
}
