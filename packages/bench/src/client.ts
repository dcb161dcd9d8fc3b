/** What the process of one measurement has in common with the one that started it. */
import type { Percentiles } from "./latencies.ts"
import type { Load } from "./load.ts"
import type { OrderCheck } from "./records.ts"

/** How records are handed over, or taken; each client has those that its API knows. */
export type Mode =
  | "sendAll"
  | "sink"
  | "enqueue"
  | "send-1000"
  | "pipe"
  | "send-1"
  | "rate"
  | "records"
  | "runBatch"
  | "run"
  | "run-1"
  | "run-key"
  | "end-to-end"
  | "idle"

/** `send` and `read` a topic, as fast as it goes; `pass` records on at a fixed rate, and stay `idle`. */
export type Kind = "send" | "read" | "pass" | "idle"

/** One measurement, as its process is told of it. */
export interface Job {
  /** A module of `clients/`, or a program of its own. */
  readonly client: string
  readonly kind: Kind
  readonly mode: Mode
  /** Bootstrap servers, separated by commas; none for the null transport. */
  readonly brokers: string
  readonly topic: string
  readonly partitions: number
  /** Of those who read: nobody else has it. */
  readonly group: string
  /** Whether a client that can be idempotent or not is to be. */
  readonly idempotent: boolean
  /** Whether it is to have settings that suit the load better than its defaults. */
  readonly tuned: boolean
  /** Sent, or read by another group, before the clock starts. */
  readonly warmUp: number
  /** Sent, or read, while it runs: at most. */
  readonly records: number
  /** How long it runs: at most, but for what is under way then, and for reading, which goes on to the end. */
  readonly seconds: number
  /** Records a second in the open loop. */
  readonly rate: number
}

/** What it reports, as its last line of output, in JSON. */
export interface Measured {
  /** Sent and acknowledged in the measured part, or read and committed. */
  readonly records: number
  /** Those, and what was sent before the clock started: all that must be in the log, and committed by who reads. */
  readonly total: number
  /** Wall time of the measured part. */
  readonly seconds: number
  /** User and system time of the client's process in the measured part. */
  readonly cpuSeconds: number
  readonly peakRssMb: number
  /** From handing a record over, in the open loop from when it was due, to its acknowledgement or to who reads it. */
  readonly latency?: Percentiles | undefined
}

/** Sends a load, and is done when all of it is acknowledged. */
export type Send = (load: Load) => Promise<void>

/** One client, connected to send. */
export interface Client {
  readonly modes: Partial<Record<Mode, Send>>
  readonly close: () => Promise<void>
  /** How many records were accepted, where only the client's process knows. */
  readonly accepted?: () => number
}

/** Connects to send. */
export type Connect = (job: Job) => Promise<Client>

/** Joins the group, reads the topic from its beginning until `check` has seen so many records, commits them, and leaves. */
export type Read = (job: Job, check: OrderCheck) => Promise<void>

/** Joins the group, and calls `onRecord` with whatever comes: once it has its partitions, it gives what ends that. */
export type Listen = (
  job: Job,
  onRecord: (key: Uint8Array, value: Uint8Array) => void
) => Promise<() => Promise<void>>

/** What each module of `clients/` exports. */
export interface ClientModule {
  readonly connect: Connect
  readonly readers?: Partial<Record<Mode, Read>>
  readonly listen?: Listen
}
