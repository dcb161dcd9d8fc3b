/** The support itself: Kafka starts, its listeners let clients in, its own clients and tools read what they wrote. */
import { assert, describe, it } from "@effect/vitest"
import { Kafka, logLevel, type SASLOptions } from "kafkajs"
import { inject } from "vitest"

import { consoleConsumer, javaConsume, javaProduce } from "./support/javaTool.ts"
import { startKafka, unsecuredToken } from "./support/kafka.ts"
import { createTopic } from "./support/topics.ts"

const text = (bytes: Buffer | null): string | null => bytes === null ? null : bytes.toString("utf8")

describe("Kafka's own clients and tools", () => {
  it("read what the Java producer wrote, by the console consumer", async () => {
    const { brokers } = inject("kafka")
    const topic = await createTopic(brokers, { partitions: 2 })
    const written = await javaProduce({
      brokers,
      topic,
      properties: { "compression.type": "gzip" },
      records: [
        { partition: 0, timestamp: 1_000, key: "a", value: "grüße", headers: [["trace", "1"], ["trace", null]] },
        { partition: 0, timestamp: 2_000, key: "a", value: null },
        { partition: 1, timestamp: 3_000, value: "two\nlines" }
      ]
    })
    assert.deepStrictEqual(written, [
      { partition: 0, offset: 0, timestamp: 1_000 },
      { partition: 0, offset: 1, timestamp: 2_000 },
      { partition: 1, offset: 0, timestamp: 3_000 }
    ])

    const read = await consoleConsumer({ brokers, topic, count: 3 })
    const ordered = read
      .map(({ headers, key, offset, partition, timestamp, value }) => ({
        at: `${partition}/${offset}`,
        timestamp,
        key: text(key),
        value: text(value),
        headers: headers.map(([name, content]) => [name, text(content)])
      }))
      .sort((one, other) => one.at.localeCompare(other.at))
    assert.deepStrictEqual(ordered, [
      { at: "0/0", timestamp: 1_000, key: "a", value: "grüße", headers: [["trace", "1"], ["trace", null]] },
      { at: "0/1", timestamp: 2_000, key: "a", value: null, headers: [] },
      { at: "1/0", timestamp: 3_000, key: null, value: "two\nlines", headers: [] }
    ])
  })

  it("keep bytes as they are, and hide what was aborted", async () => {
    const { brokers } = inject("kafka")
    const topic = await createTopic(brokers)
    const everyByte = Uint8Array.from({ length: 256 }, (_, byte) => byte)
    const write = (transaction: "commit" | "abort", value: Uint8Array) =>
      javaProduce({
        brokers,
        topic,
        transaction,
        properties: { "transactional.id": topic },
        records: [{ key: everyByte, value, headers: [["bytes", everyByte]] }]
      })
    await write("abort", new Uint8Array(0))
    await write("commit", everyByte)

    const all = await javaConsume({ brokers, topic })
    const committed = await javaConsume({ brokers, topic, properties: { "isolation.level": "read_committed" } })
    assert.deepStrictEqual(all.map(({ offset, value }) => [offset, value?.length]), [[0, 0], [2, 256]])
    assert.deepStrictEqual(committed, all.slice(1))
    assert.deepStrictEqual(committed[0]?.key, Buffer.from(everyByte))
    assert.deepStrictEqual(committed[0]?.headers, [["bytes", Buffer.from(everyByte)]])
  })
})

/** The ids of the live brokers, as an authenticated client sees them. */
const brokersSeenBy = async (
  address: string,
  options: { readonly ca?: string | undefined; readonly sasl?: SASLOptions }
): Promise<Array<number>> => {
  const admin = new Kafka({
    brokers: address.split(","),
    logLevel: logLevel.NOTHING,
    retry: { retries: 0 },
    ...(options.ca === undefined ? {} : { ssl: { ca: options.ca } }),
    ...(options.sasl === undefined ? {} : { sasl: options.sasl })
  }).admin()
  await admin.connect()
  try {
    return (await admin.describeCluster()).brokers.map(({ nodeId }) => nodeId).sort()
  } finally {
    await admin.disconnect()
  }
}

const alice = { username: "alice", password: "alice-secret" }
const mechanisms: ReadonlyArray<SASLOptions> = [
  { mechanism: "plain", ...alice },
  { mechanism: "scram-sha-256", ...alice },
  { mechanism: "scram-sha-512", ...alice },
  { mechanism: "oauthbearer", oauthBearerProvider: async () => ({ value: unsecuredToken("alice") }) }
]

describe("clusters", () => {
  it.each(["4.3.0", "3.9.2"])("Apache Kafka %s: lets clients in by TLS and by each SASL mechanism", async (version) => {
    const cluster = await startKafka({ version, sasl: true })
    try {
      const { ca, listeners } = cluster
      assert.deepStrictEqual(await brokersSeenBy(listeners.ssl!, { ca }), [1])
      for (const sasl of mechanisms) {
        assert.deepStrictEqual(await brokersSeenBy(listeners.saslSsl!, { ca, sasl }), [1], sasl.mechanism)
      }
      assert.deepStrictEqual(await brokersSeenBy(listeners.saslPlaintext!, { sasl: mechanisms[0]! }), [1])

      const wrong = { mechanism: "scram-sha-256", username: "alice", password: "wrong" } as const
      const refused = await brokersSeenBy(listeners.saslSsl!, { ca, sasl: wrong }).then(() => "let in", String)
      assert.match(refused, /SASL/)
    } finally {
      await cluster.stop()
    }
  })

  it("three brokers: one is frozen, killed, shut down and comes back", async () => {
    const cluster = await startKafka({ brokers: 3 })
    try {
      const seen = () => brokersSeenBy(cluster.brokers, {})
      assert.deepStrictEqual(await seen(), [1, 2, 3])
      cluster.pause(1)
      cluster.resume(1)
      await cluster.kill(2)
      await cluster.start(2)
      await cluster.shutdown(3)
      await cluster.start(3)
      assert.deepStrictEqual(await seen(), [1, 2, 3])
    } finally {
      await cluster.stop()
    }
    assert.match(await brokersSeenBy(cluster.brokers, {}).then(() => "let in", String), /Connection/)
  })
})
