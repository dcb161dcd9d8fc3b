import { readFileSync } from "node:fs"

import { assert, describe, it } from "@effect/vitest"
import {
  crc32Partition,
  fnv1aPartition,
  fnv1aReferencePartition,
  type KeyPartition,
  murmur2LegacyPartition
} from "@sluice/kafka/internal/kernel/keyPartition"
import { partitionForKey } from "@sluice/kafka/internal/kernel/murmur2"
import { FastCheck } from "effect"

const read = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../fixtures/partitions/${name}.json`, import.meta.url), "utf8"))

const { keys, partitionCounts } = read("keys") as {
  readonly keys: ReadonlyArray<string>
  readonly partitionCounts: ReadonlyArray<number>
}
const bytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, "hex"))

/** What a client was recorded to choose, for each key and each count. */
const chosen = (client: string) => read(client) as ReadonlyArray<ReadonlyArray<number | null>>

const ours = (partition: KeyPartition) =>
  keys.map((key) => partitionCounts.map((count) => partition(bytes(key), count) ?? null))

const partitioners: Record<string, KeyPartition> = {
  murmur2: partitionForKey,
  fnv1a: fnv1aPartition,
  fnv1aReference: fnv1aReferencePartition,
  crc32: crc32Partition,
  murmur2Legacy: murmur2LegacyPartition
}

describe("the partition of a key", () => {
  it("was recorded for keys of every kind", () => {
    assert.isAtLeast(keys.length, 50)
    const lengths = new Set(keys.map((key) => key.length / 2))
    for (const length of [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 100, 1000]) assert.isTrue(lengths.has(length))
    assert.isTrue(keys.some((key) => bytes(key).every((byte) => byte >= 0x80)))
    assert.deepStrictEqual(partitionCounts, [1, 2, 3, 7, 12, 100, 1000])
  })

  for (
    const [client, partitioner] of [
      ["java", "murmur2"],
      ["kafkajs", "murmur2"],
      ["librdkafka-murmur2-random", "murmur2"],
      ["sarama-murmur2", "murmur2"],
      ["sarama-hash", "fnv1a"],
      ["librdkafka-fnv1a-random", "fnv1a"],
      ["sarama-reference-hash", "fnv1aReference"],
      ["librdkafka-consistent-random", "crc32"],
      ["kafkajs-legacy", "murmur2Legacy"]
    ] as const
  ) {
    it(`is what ${client} chooses, by ${partitioner}`, () => {
      assert.deepStrictEqual(ours(partitioners[partitioner]!), chosen(client))
    })
  }

  it("is what sarama-crc32 chooses, by crc32, but for the empty key, which Sarama sends to partition 0", () => {
    assert.deepStrictEqual(
      ours(crc32Partition).map((row, i) => keys[i] === "" ? row.map(() => 0) : row),
      chosen("sarama-crc32")
    )
  })

  it("is another one by each of them", () => {
    const all = Object.values(partitioners).map((partition) => JSON.stringify(ours(partition)))
    assert.strictEqual(new Set(all).size, all.length)
  })

  for (const [name, partition] of Object.entries(partitioners)) {
    it(`by ${name} is one that the topic has, and the same for the same key`, () => {
      FastCheck.assert(
        FastCheck.property(
          FastCheck.uint8Array({ minLength: 1, maxLength: 64 }),
          FastCheck.integer({ min: 1, max: 100_000 }),
          (key, count) => {
            const choice = partition(key, count)!
            assert.isTrue(Number.isInteger(choice) && choice >= 0 && choice < count)
            assert.strictEqual(partition(Uint8Array.from(key), count), choice)
            // Nothing around the key in its buffer counts.
            const around = Uint8Array.from([1, 2, 3, ...key, 4, 5, 6, 7])
            assert.strictEqual(partition(around.subarray(3, 3 + key.length), count), choice)
          }
        )
      )
    })

    it(`by ${name} is each about as often as another`, () => {
      const [count, each] = [12, 1000]
      const counts = new Array<number>(count).fill(0)
      for (let i = 0; i < count * each; i++) counts[partition(Buffer.from(`user-${i}`), count)!]!++
      // The spread of chance is about 30; the hash of kafkajs' old partitioner does worse.
      const limit = name === "murmur2Legacy" ? 400 : 150
      for (const n of counts) assert.isAtMost(Math.abs(n - each), limit, counts.join(" "))
    })
  }
})
