import type { Fault } from "../../Fault.ts"
import type { Interleaving } from "../../Simulation.ts"
import type { Violation } from "./history.ts"

/** A fault and when it is injected, in milliseconds from the start. */
export interface ScheduledFault {
  readonly at: number
  readonly fault: Fault
}

/** Everything that a seed decides beforehand. The faults can be taken away one by one: nothing else depends on them. */
export interface Plan {
  readonly seed: number
  readonly interleaving: Interleaving
  readonly faults: ReadonlyArray<ScheduledFault>
}

/** One line of what happened. */
export interface TimelineEntry {
  /** Milliseconds of virtual time. */
  readonly time: number
  /** Who: `"producer a"`, `"member b"`, `"broker 2"`, `"cluster"`, `"fault"`, `"checker"`. */
  readonly actor: string
  readonly kind: "request" | "answer" | "connection" | "fault" | "cluster" | "producer" | "consumer" | "violation"
  readonly text: string
}

/** What a seed came to. */
export interface Outcome {
  readonly plan: Plan
  /** None if all is well. */
  readonly violations: ReadonlyArray<Violation>
  readonly records: number
  /** Names of the kinds of faults that took hold, each once. */
  readonly faultKinds: ReadonlyArray<string>
  /** How many faults took hold. */
  readonly faults: number
  /** How much virtual time passed, in milliseconds. */
  readonly time: number
  readonly steps: number
  /** Empty unless it was asked for. In the order of time; the same for the same plan, byte for byte. */
  readonly timeline: ReadonlyArray<TimelineEntry>
}
