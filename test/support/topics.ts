/** Topics for tests, made with kafkajs' admin client: it needs neither our own client nor a JVM. */
import { randomBytes } from "node:crypto"

import { Kafka, logLevel } from "kafkajs"

/** A topic name that no other test has. */
export const uniqueName = (prefix: string): string => `${prefix}-${randomBytes(4).toString("hex")}`

/** Creates a topic, waits until each of its partitions has a leader, and returns its name. */
export const createTopic = async (
  brokers: string,
  options: {
    /** A unique name by default. */
    readonly topic?: string
    /** 1 by default. */
    readonly partitions?: number
    /** The cluster's default by default. */
    readonly replicationFactor?: number
    /** Settings of the topic, such as `cleanup.policy`. */
    readonly config?: Readonly<Record<string, string>>
  } = {}
): Promise<string> => {
  const { config = {}, partitions = 1, replicationFactor = -1, topic = uniqueName("topic") } = options
  const admin = new Kafka({ brokers: brokers.split(","), logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  try {
    await admin.createTopics({
      waitForLeaders: true,
      topics: [{
        topic,
        numPartitions: partitions,
        replicationFactor,
        configEntries: Object.entries(config).map(([name, value]) => ({ name, value }))
      }]
    })
    return topic
  } finally {
    await admin.disconnect()
  }
}
