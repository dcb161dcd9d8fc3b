import { randomBytes } from "node:crypto"
import { setTimeout as sleep } from "node:timers/promises"

import { Kafka, logLevel } from "kafkajs"

/** The topics of a run: a new one for each measurement, and gone after it. */
export interface Topics {
  readonly create: (partitions: number) => Promise<string>
  /** How many records are in its log. */
  readonly count: (topic: string) => Promise<number>
  /** How many of them a group has not committed. */
  readonly uncommitted: (topic: string, group: string) => Promise<number>
  readonly remove: (topic: string) => Promise<void>
  readonly close: () => Promise<void>
}

/** A broker that is busy knows of a new topic a moment later. */
const onceKnown = async <A>(ask: () => Promise<A>, attempts = 10): Promise<A> => {
  try {
    return await ask()
  } catch (error) {
    if (attempts === 0 || (error as { readonly type?: unknown }).type !== "UNKNOWN_TOPIC_OR_PARTITION") throw error
    await sleep(200)
    return onceKnown(ask, attempts - 1)
  }
}

/** Over kafkajs' admin client: none of the clients that are measured does it for itself. */
export const openTopics = async (brokers: string): Promise<Topics> => {
  const admin = new Kafka({ brokers: brokers.split(","), logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  const logs = (topic: string) => onceKnown(() => admin.fetchTopicOffsets(topic))
  return {
    create: async (partitions) => {
      const topic = `bench-${randomBytes(4).toString("hex")}`
      // Deleted logs go at once: a run writes gigabytes.
      const configEntries = [{ name: "file.delete.delay.ms", value: "1000" }]
      await onceKnown(() =>
        admin.createTopics({ waitForLeaders: true, topics: [{ topic, numPartitions: partitions, configEntries }] })
      )
      return topic
    },
    count: async (topic) => (await logs(topic)).reduce((sum, { high, low }) => sum + Number(high) - Number(low), 0),
    uncommitted: async (topic, groupId) => {
      const groups = await admin.fetchOffsets({ groupId, topics: [topic] })
      const committed = new Map(
        groups.flatMap(({ partitions }) => partitions.map(({ offset, partition }) => [partition, Number(offset)]))
      )
      return (await logs(topic)).reduce(
        (sum, { high, low, partition }) => sum + Number(high) - Math.max(Number(low), committed.get(partition) ?? -1),
        0
      )
    },
    remove: (topic) => onceKnown(() => admin.deleteTopics({ topics: [topic] })),
    close: () => admin.disconnect()
  }
}
