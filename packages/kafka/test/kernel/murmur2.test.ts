import { assert, describe, it } from "@effect/vitest"
import { murmur2, partitionForKey, toPositive } from "@sluice/kafka/internal/kernel/murmur2"

// The first six are from Kafka's UtilsTest, the keys after them librdkafka's and ours; all hashed by Kafka's own
// `Utils.murmur2`. Last: the partitions of 12 and of 100.
const vectors: ReadonlyArray<readonly [key: string, hash: number, ofTwelve: number, ofHundred: number]> = [
  ["21", -973932308, 0, 40],
  ["foobar", -790332482, 6, 66],
  ["a-little-bit-long-string", -985981536, 8, 12],
  ["a-little-bit-longer-string", -1486304829, 11, 19],
  ["lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971, 5, 77],
  ["abc", 479470107, 3, 7],
  ["kafka", -798503068, 4, 80],
  ["giberish123456789", -1890243828, 8, 20],
  ["1234", -1614185708, 0, 40],
  ["234", -406844982, 2, 66],
  ["34", -2026295078, 6, 70],
  ["4", 1514888353, 1, 53],
  ["", 275646681, 9, 81],
  ["PreAmbleWillBeRemoved,ThePrePartThatIs", 2017611548, 8, 48],
  ["reAmbleWillBeRemoved,ThePrePartThatIs", 1247982455, 11, 55],
  ["eAmbleWillBeRemoved,ThePrePartThatIs", -521871202, 10, 46],
  ["AmbleWillBeRemoved,ThePrePartThatIs", 1656271935, 3, 35],
  ["order-42", 501153024, 0, 24],
  ["größe", 588164084, 8, 84]
]

// Kafka's hash of n bytes 200, 237, 18, …: every length of a tail, bytes of both signs.
const hashesByLength = [
  275646681,
  425050138,
  -1606385903,
  -108754803,
  1386831423,
  580644288,
  -1879261483,
  -532381679,
  1482585343,
  210905472,
  1170719500,
  387960439,
  -424466987,
  -1260287053,
  -326867563,
  -27470952,
  -1323797251,
  1979245164,
  -421224522,
  1381377166,
  450443725,
  1666824703,
  1458067501,
  1510030371
]

describe("murmur2", () => {
  for (const [key, hash, ofTwelve, ofHundred] of vectors) {
    it(`of "${key}" and its partitions`, () => {
      const bytes = Buffer.from(key, "utf8")
      assert.strictEqual(murmur2(bytes), hash)
      assert.strictEqual(partitionForKey(bytes, 12), ofTwelve)
      assert.strictEqual(partitionForKey(bytes, 100), ofHundred)
      assert.strictEqual(partitionForKey(bytes, 1), 0)
    })
  }

  it("of bytes of every length", () => {
    const hashes = hashesByLength.map((_, length) =>
      murmur2(Uint8Array.from({ length }, (_, index) => 200 + index * 37))
    )
    assert.deepStrictEqual(hashes, hashesByLength)
  })

  it("is made positive by dropping the sign bit", () => {
    assert.strictEqual(toPositive(-1), 0x7fffffff)
    assert.strictEqual(toPositive(-0x80000000), 0)
    assert.strictEqual(toPositive(5), 5)
  })
})
