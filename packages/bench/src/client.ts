/** What the process of one measurement has in common with the one that started it. */
import type { Percentiles } from "./latencies.ts"
import type { Load } from "./load.ts"

/** How records are handed over; each client has those that its API knows. */
export type Mode = "sendAll" | "sink" | "enqueue" | "send-1000" | "pipe" | "send-1" | "rate" | "consume"

/** One measurement, as its process is told of it. */
export interface Job {
  /** A module of `clients/`, or a program of its own. */
  readonly client: string
  readonly mode: Mode
  /** Bootstrap servers, separated by commas; none for the null transport. */
  readonly brokers: string
  readonly topic: string
  readonly partitions: number
  /** Whether a client that can be idempotent or not is to be. */
  readonly idempotent: boolean
  /** Sent before the clock starts. */
  readonly warmUp: number
  /** Sent, or read, while it runs: at most. */
  readonly records: number
  /** How long it runs: at most, but for what is under way then. */
  readonly seconds: number
  /** Records a second in the open loop. */
  readonly rate: number
}

/** What it reports, as its last line of output, in JSON. */
export interface Measured {
  /** Sent or read in the measured part, and acknowledged. */
  readonly records: number
  /** Those, and what was sent before the clock started: all that must be in the log. */
  readonly total: number
  /** Wall time of the measured part. */
  readonly seconds: number
  /** User and system time of the client's process in the measured part. */
  readonly cpuSeconds: number
  readonly peakRssMb: number
  /** From handing a record over to its acknowledgement; in the open loop from when it was due. */
  readonly latency?: Percentiles | undefined
}

/** Sends a load, and is done when all of it is acknowledged. */
export type Send = (load: Load) => Promise<void>

/** One client, connected. */
export interface Client {
  readonly modes: Partial<Record<Mode, Send>>
  /** Reads so many records from the topic, from before it connects; throws if one is missing or out of order. */
  readonly consume?: (records: number) => Promise<void>
  readonly close: () => Promise<void>
  /** How many records were accepted, where only the client's process knows. */
  readonly accepted?: () => number
}

/** What each module of `clients/` exports. */
export type Connect = (job: Job) => Promise<Client>
