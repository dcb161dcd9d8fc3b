/** Three brokers, each a process of its own behind a proxy of its own, for the tests of a file: whole again after each. */
import { afterAll, afterEach, beforeAll } from "@effect/vitest"
import { Serde, Topic } from "@sluice/kafka"
import { Effect } from "effect"

import { type KafkaCluster, startKafka } from "../../support/kafka.ts"
import { type Operator, operator } from "../../support/operator.ts"
import { passAll, type Proxy, startProxy } from "../../support/proxy.ts"
import { uniqueName } from "../../support/topics.ts"

/** A broker: 1, 2 or 3. */
export type BrokerId = 1 | 2 | 3

/** All of them. */
export const brokerIds: ReadonlyArray<BrokerId> = [1, 2, 3]

/** A topic of text. */
export type TextTopic = Topic.Topic<string, string, string>

/** How a test's topic is made. */
export interface TestTopicOptions {
  /** Of each partition; the first one leads. By default all brokers, in turn: partition 0 is led by broker 1, and so on. */
  readonly replicas?: ReadonlyArray<ReadonlyArray<BrokerId>>
  /** Six by default. */
  readonly partitions?: number
  readonly config?: Readonly<Record<string, string>>
}

/** The brokers of a file of tests, and what can be done to them. */
export interface ThreeBrokers {
  /** Where clients begin: the proxies. */
  readonly addresses: string
  /** The brokers themselves, past the proxies. */
  readonly internal: string
  readonly operator: Operator
  readonly proxy: (id: BrokerId) => Proxy
  readonly proxies: ReadonlyArray<Proxy>
  /** SIGKILL. */
  readonly kill: (...ids: ReadonlyArray<BrokerId>) => Effect.Effect<void>
  /** SIGTERM, and the wait for its end. */
  readonly shutdown: (id: BrokerId) => Effect.Effect<void>
  /** Starts brokers that were ended, all at once. */
  readonly start: (...ids: ReadonlyArray<BrokerId>) => Effect.Effect<void>
  /** SIGSTOP. */
  readonly pause: (...ids: ReadonlyArray<BrokerId>) => Effect.Effect<void>
  /** SIGCONT. */
  readonly resume: (...ids: ReadonlyArray<BrokerId>) => Effect.Effect<void>
  /** A topic of the test's own. */
  readonly makeTopic: (options?: TestTopicOptions) => Effect.Effect<TextTopic>
  /** All brokers run and all frames pass, and every broker knows the others. */
  readonly heal: Effect.Effect<void>
}

interface Running {
  readonly kafka: KafkaCluster
  readonly proxies: ReadonlyArray<Proxy>
  readonly operator: Operator
}

const start = async (): Promise<Running> => {
  const proxies = await Promise.all(brokerIds.map(startProxy))
  const kafka = await startKafka({ brokers: 3, advertised: proxies.map(({ address }) => address) })
  const brokers = kafka.listeners.plaintext.split(",")
  for (const [index, proxy] of proxies.entries()) proxy.target = brokers[index]
  return { kafka, proxies, operator: operator(kafka.listeners.internal!.split(",")) }
}

/** Starts the brokers before the tests of this file, and ends them after it. They are whole again after each test. */
export const threeBrokers = (): ThreeBrokers => {
  let running: Running | undefined
  const down = new Set<BrokerId>()
  const paused = new Set<BrokerId>()
  const now = (): Running => {
    if (running === undefined) throw new Error("The brokers are started before the first test")
    return running
  }
  const act = (action: (running: Running) => Promise<unknown>): Effect.Effect<void> =>
    Effect.asVoid(Effect.promise(() => action(now())))

  const startAgain = (...ids: ReadonlyArray<BrokerId>) =>
    act(async ({ kafka, operator }) => {
      for (const id of ids) down.delete(id)
      await Promise.all(ids.map((id) => kafka.start(id)))
      if (down.size === 0 && paused.size === 0) await operator.allAlive()
    })
  const resume = (...ids: ReadonlyArray<BrokerId>) =>
    act(async ({ kafka }) => {
      for (const id of ids) {
        if (paused.delete(id)) kafka.resume(id)
      }
    })
  const heal = Effect.suspend(() => {
    for (const proxy of now().proxies) proxy.rule = passAll
    return Effect.all([
      resume(...paused),
      startAgain(...down),
      act(({ operator }) => operator.allAlive())
    ], { discard: true })
  })

  beforeAll(async () => {
    running = await start()
  })
  afterEach(() => Effect.runPromise(heal))
  afterAll(async () => {
    await running?.kafka.stop()
    await Promise.all(running?.proxies.map((proxy) => proxy.close()) ?? [])
  })

  return {
    get addresses() {
      return now().proxies.map(({ address }) => address).join(",")
    },
    get internal() {
      return now().kafka.listeners.internal!
    },
    get operator() {
      return now().operator
    },
    get proxies() {
      return now().proxies
    },
    proxy: (id) => now().proxies[id - 1]!,
    kill: (...ids) =>
      act(async ({ kafka }) => {
        for (const id of ids) {
          down.add(id)
          paused.delete(id)
        }
        await Promise.all(ids.map((id) => kafka.kill(id)))
      }),
    shutdown: (id) =>
      act(async ({ kafka }) => {
        down.add(id)
        await kafka.shutdown(id)
      }),
    start: startAgain,
    pause: (...ids) =>
      act(async ({ kafka }) => {
        for (const id of ids) {
          paused.add(id)
          kafka.pause(id)
        }
      }),
    resume,
    makeTopic: ({ config = {}, partitions = 6, replicas } = {}) =>
      Effect.promise(async () => {
        const topic = Topic.make(uniqueName("faults"), { key: Serde.string, value: Serde.string })
        const inTurn = Array.from(
          { length: partitions },
          (_, partition) => brokerIds.map((_, index) => brokerIds[(partition + index) % brokerIds.length]!)
        )
        await now().operator.createTopic(topic.name, { replicas: replicas ?? inTurn, config })
        return topic
      }),
    heal
  }
}
