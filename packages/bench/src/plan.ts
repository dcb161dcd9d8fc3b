/** What is measured: workloads, and in each the clients that know it. */
import type { Kind, Mode } from "./client.ts"

/** A client as it is measured: its settings count. */
export interface Contender {
  readonly id: string
  /** As tables name it. */
  readonly label: string
  /** A module of `clients/`, or a program. */
  readonly module: string
  readonly idempotent: boolean
  /** Whether it has settings that suit the load better than its defaults. */
  readonly isTuned?: boolean
  /** On the null transport: no broker, no log. */
  readonly isNull?: boolean
}

export const contenders: ReadonlyArray<Contender> = [
  { id: "sluice", label: "Sluice", module: "sluice", idempotent: true },
  { id: "sluice-null", label: "Sluice, null transport", module: "sluice", idempotent: true, isNull: true },
  { id: "kafkajs", label: "kafkajs", module: "kafkajs", idempotent: false },
  { id: "kafkajs-idempotent", label: "kafkajs, idempotent", module: "kafkajs", idempotent: true },
  { id: "platformatic", label: "@platformatic/kafka", module: "platformatic", idempotent: false },
  {
    id: "platformatic-tuned",
    label: "@platformatic/kafka, tuned",
    module: "platformatic",
    idempotent: false,
    isTuned: true
  },
  { id: "effect-kafka", label: "effect-kafka", module: "effectKafka", idempotent: false },
  { id: "java", label: "Java", module: "java", idempotent: true },
  { id: "java-tuned", label: "Java, large batches", module: "java", idempotent: true, isTuned: true },
  { id: "confluent", label: "confluent", module: "confluent", idempotent: true },
  { id: "sarama", label: "sarama", module: "sarama", idempotent: true }
]

/** Ratios are to the first row of this one, in the same round. */
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
  readonly kind: Kind
  readonly title: string
  readonly entries: ReadonlyArray<Entry>
}

const entry = (contender: string, mode: Mode, call: string): Entry => ({ contender, mode, call })
const ofOurs = (mode: Mode, call: string): ReadonlyArray<Entry> => [
  entry("sluice", mode, call),
  entry("sluice-null", mode, call)
]
/** Clients whose call returns a promise. */
const ofPromises = (mode: Mode, size: string): ReadonlyArray<Entry> => [
  entry("kafkajs", mode, `\`sendBatch\` of ${size}`),
  entry("kafkajs-idempotent", mode, `\`sendBatch\` of ${size}`),
  entry("platformatic", mode, `\`send\` of ${size}`)
]

export const workloads: ReadonlyArray<Workload> = [
  {
    id: "batches",
    kind: "send",
    title: "As fast as they go: 1,000 records a call, or one after the other without waiting",
    entries: [
      ...ofOurs("sendAll", "`sendAll` of 1,000, five at a time"),
      ...ofOurs("sink", "`sink`, chunks of 1,000"),
      ...ofOurs("enqueue", "`enqueue` in a loop, then `flush`"),
      ...ofPromises("sendAll", "1,000, five at a time"),
      entry("effect-kafka", "sendAll", "`send` of 1,000, five at a time"),
      entry("java", "sendAll", "`ProducerPerformance`"),
      entry("java-tuned", "sendAll", "`ProducerPerformance`, batches of 256 KiB"),
      entry("confluent", "sendAll", "`send` of 1,000, five at a time"),
      entry("sarama", "sendAll", "`AsyncProducer`")
    ]
  },
  {
    id: "concurrent",
    kind: "send",
    title: "A record a call, 1,000 under way",
    entries: [
      ...ofOurs("send-1000", "`send` under `Effect.forEach`"),
      ...ofOurs("pipe", "`pipe`"),
      ...ofPromises("send-1000", "1"),
      entry("effect-kafka", "send-1000", "`send` of 1 under `Effect.forEach`"),
      entry("confluent", "send-1000", "`send` of 1"),
      entry("sarama", "send-1000", "`SyncProducer`, 1,000 goroutines")
    ]
  },
  {
    id: "one-by-one",
    kind: "send",
    title: "One record at a time, each awaited before the next",
    entries: [
      ...ofOurs("send-1", "`send`"),
      ...ofPromises("send-1", "1"),
      entry("effect-kafka", "send-1", "`send` of 1"),
      entry("confluent", "send-1", "`send` of 1, no linger"),
      entry("sarama", "send-1", "`SyncProducer`")
    ]
  },
  {
    id: "open-loop",
    kind: "send",
    title: "Open loop: a fixed rate, latency from when each record was due",
    entries: [
      ...ofOurs("rate", "`send`, a fiber each"),
      entry("kafkajs", "rate", "`sendBatch` of 1"),
      entry("platformatic", "rate", "`send` of 1")
    ]
  },
  {
    id: "consume",
    kind: "read",
    title: "Consuming a topic in a group, from before it connects until all is committed and it has left",
    entries: [
      entry("sluice", "records", "`records` by chunks into `commitSink`"),
      entry("sluice", "runBatch", "`runBatch`"),
      entry("sluice", "run", "`run`"),
      entry("sluice", "run-1", "`run`, one at a time"),
      entry("sluice", "run-key", "`run`, 16 by key"),
      entry("kafkajs", "records", "`eachBatch`"),
      entry("kafkajs", "run", "`eachMessage`"),
      entry("platformatic", "run", "`consume`, by its events"),
      entry("platformatic-tuned", "run", "`consume`, 1 MiB a fetch"),
      entry("effect-kafka", "run", "`serveStream`"),
      entry("java", "records", "`ConsumerPerformance`"),
      entry("confluent", "records", "`eachBatch`"),
      entry("confluent", "run", "`eachMessage`"),
      entry("sarama", "run", "`ConsumerGroup`")
    ]
  },
  {
    id: "latency",
    kind: "pass",
    title: "End to end: 1,000 records a second sent and read in one process, latency from when each was due",
    entries: [
      entry("sluice", "end-to-end", "`send`, `run`"),
      entry("kafkajs", "end-to-end", "`sendBatch` of 1, `eachMessage`"),
      entry("java", "end-to-end", "`send` without linger, `poll`")
    ]
  },
  {
    id: "idle",
    kind: "idle",
    title: "Idle: a member of a group with 100 empty partitions",
    entries: [
      entry("sluice", "idle", "`run`"),
      entry("kafkajs", "idle", "`eachMessage`"),
      entry("java", "idle", "`poll`")
    ]
  }
]

/** All ways to hand over records and to take them, in the order of the workloads. */
export const modes: ReadonlyArray<Mode> = [
  ...new Set(workloads.flatMap(({ entries }) => entries.map(({ mode }) => mode)))
]

const modesOf = (of: (workload: Workload) => boolean): ReadonlyArray<Mode> =>
  modes.filter((mode) => workloads.some((workload) => of(workload) && workload.entries.some((e) => e.mode === mode)))

/** Names for many modes at once. */
export const groups: Readonly<Record<string, ReadonlyArray<Mode>>> = {
  producers: modesOf(({ kind }) => kind === "send"),
  consumers: modesOf(({ kind }) => kind !== "send")
}

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
