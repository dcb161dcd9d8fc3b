/** What is measured: workloads, and in each the clients that know it. */
import type { Mode } from "./client.ts"

/** A client as it is measured: its settings count. */
export interface Contender {
  readonly id: string
  /** As tables name it. */
  readonly label: string
  /** A module of `clients/`, or a program. */
  readonly module: string
  readonly idempotent: boolean
  /** On the null transport: no broker, no log. */
  readonly isNull?: boolean
}

export const contenders: ReadonlyArray<Contender> = [
  { id: "sluice", label: "Sluice", module: "sluice", idempotent: true },
  { id: "sluice-null", label: "Sluice, null transport", module: "sluice", idempotent: true, isNull: true },
  { id: "kafkajs", label: "kafkajs", module: "kafkajs", idempotent: false },
  { id: "kafkajs-idempotent", label: "kafkajs, idempotent", module: "kafkajs", idempotent: true },
  { id: "platformatic", label: "@platformatic/kafka", module: "platformatic", idempotent: false },
  { id: "effect-kafka", label: "effect-kafka", module: "effectKafka", idempotent: false },
  { id: "java", label: "Java", module: "java", idempotent: true },
  { id: "java-tuned", label: "Java, large batches", module: "java", idempotent: true },
  { id: "confluent", label: "confluent", module: "confluent", idempotent: true },
  { id: "sarama", label: "sarama", module: "sarama", idempotent: true }
]

/** Ratios are to this one, in the same round. */
export const baseline = "kafkajs"

/** One row of a table. */
export interface Entry {
  readonly contender: string
  readonly mode: Mode
  /** The call that is measured, as tables name it. */
  readonly call: string
}

/** Entries that are compared with each other: a table and a part of the chart. */
export interface Workload {
  readonly id: string
  readonly title: string
  readonly entries: ReadonlyArray<Entry>
  /** What its bars show. */
  readonly bars: readonly ["rate", "cpu"] | readonly ["p50", "p99"]
}

const entry = (contender: string, mode: Mode, call: string): Entry => ({ contender, mode, call })
const ofOurs = (mode: Mode, call: string): ReadonlyArray<Entry> => [
  entry("sluice", mode, call),
  entry("sluice-null", mode, call)
]

/** Consuming is by `eachBatch` and chunks alone; other readers and other clients are further entries. */
export const workloads: ReadonlyArray<Workload> = [
  {
    id: "batches",
    title: "As fast as they go: 1,000 records a call, or one after the other without waiting",
    bars: ["rate", "cpu"],
    entries: [
      ...ofOurs("sendAll", "`sendAll` of 1,000, five at a time"),
      ...ofOurs("sink", "`sink`, chunks of 1,000"),
      ...ofOurs("enqueue", "`enqueue` in a loop, then `flush`"),
      entry("kafkajs", "sendAll", "`sendBatch` of 1,000, five at a time"),
      entry("kafkajs-idempotent", "sendAll", "`sendBatch` of 1,000, five at a time"),
      entry("platformatic", "sendAll", "`send` of 1,000, five at a time"),
      entry("effect-kafka", "sendAll", "`send` of 1,000, five at a time"),
      entry("java", "sendAll", "`ProducerPerformance`"),
      entry("java-tuned", "sendAll", "`ProducerPerformance`, batches of 256 KiB"),
      entry("confluent", "sendAll", "`send` of 1,000, five at a time"),
      entry("sarama", "sendAll", "`AsyncProducer`")
    ]
  },
  {
    id: "concurrent",
    title: "A record a call, 1,000 under way",
    bars: ["rate", "cpu"],
    entries: [
      ...ofOurs("send-1000", "`send` under `Effect.forEach`"),
      ...ofOurs("pipe", "`pipe`"),
      entry("kafkajs", "send-1000", "`sendBatch` of 1"),
      entry("kafkajs-idempotent", "send-1000", "`sendBatch` of 1"),
      entry("platformatic", "send-1000", "`send` of 1"),
      entry("effect-kafka", "send-1000", "`send` of 1 under `Effect.forEach`"),
      entry("confluent", "send-1000", "`send` of 1"),
      entry("sarama", "send-1000", "`SyncProducer`, 1,000 goroutines")
    ]
  },
  {
    id: "one-by-one",
    title: "One record at a time, each awaited before the next",
    bars: ["rate", "cpu"],
    entries: [
      ...ofOurs("send-1", "`send`"),
      entry("kafkajs", "send-1", "`sendBatch` of 1"),
      entry("kafkajs-idempotent", "send-1", "`sendBatch` of 1"),
      entry("platformatic", "send-1", "`send` of 1"),
      entry("effect-kafka", "send-1", "`send` of 1"),
      entry("confluent", "send-1", "`send` of 1, no linger"),
      entry("sarama", "send-1", "`SyncProducer`")
    ]
  },
  {
    id: "rate",
    title: "Open loop: a fixed rate, latency from when each record was due",
    bars: ["p50", "p99"],
    entries: [
      ...ofOurs("rate", "`send`, a fiber each"),
      entry("kafkajs", "rate", "`sendBatch` of 1"),
      entry("platformatic", "rate", "`send` of 1")
    ]
  },
  {
    id: "consume",
    title: "Consuming a topic in a group, from before it connects to its last record",
    bars: ["rate", "cpu"],
    entries: [
      entry("sluice", "consume", "`records` by chunks into `commitSink`"),
      entry("kafkajs", "consume", "`eachBatch`")
    ]
  }
]

/** All ways to hand over records, in the order of the workloads. */
export const modes: ReadonlyArray<Mode> = [
  ...new Set(workloads.flatMap(({ entries }) => entries.map(({ mode }) => mode)))
]

/**
 * The entries of the workloads that have a chosen mode: of Sluice those modes, and of the others what they are compared
 * with there.
 */
export const choose = (
  chosenModes: ReadonlyArray<string>,
  clients: ReadonlyArray<string>
): ReadonlyArray<Workload> =>
  workloads
    .filter(({ entries }) => entries.some(({ mode }) => chosenModes.includes(mode)))
    .map((workload) => ({
      ...workload,
      entries: workload.entries.filter(({ contender, mode }) =>
        clients.includes(contender) && (!contender.startsWith("sluice") || chosenModes.includes(mode))
      )
    }))
    .filter(({ entries }) => entries.length > 0)
