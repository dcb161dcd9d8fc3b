/**
 * What was done to a client, and what it said, in the order of time: what the checkers judge.
 *
 * A record is known by its id, which is in its value. Times are milliseconds of virtual time.
 */

/** A partition of the one topic that a history is about. */
export type PartitionIndex = number

/** What a producer did, or was told. */
export type ProducerEvent =
  /** A record is handed over. From here on it may be in the log. */
  | {
    readonly _tag: "Invoked"
    readonly time: number
    readonly producer: string
    readonly record: number
    /** Of key and value, in bytes. */
    readonly size: number
    /** Where it must go: by its own partition, or by its key. `undefined` where any will do. */
    readonly partition: PartitionIndex | undefined
    /**
     * Records of a producer with the same number were handed over one after the other, in the order of these events: by
     * one call, or by one fiber that awaited the acceptance of each. Without it, order is judged by outcomes alone.
     */
    readonly lane?: number
  }
  /**
   * The producer has taken it: it owes an outcome. Recorded only where whoever waits for the outcome records it at the
   * time at which it is known: a fiber of its own waits for each.
   */
  | { readonly _tag: "Accepted"; readonly time: number; readonly producer: string; readonly record: number }
  /** Whoever sent it was told. */
  | {
    readonly _tag: "Acknowledged"
    readonly time: number
    readonly producer: string
    readonly record: number
    readonly partition: PartitionIndex
    /** `undefined` where the broker does not tell: acks none. */
    readonly offset: number | undefined
  }
  | {
    readonly _tag: "Failed"
    readonly time: number
    readonly producer: string
    readonly record: number
    readonly persisted: "no" | "maybe"
    readonly reason: string
  }
  /** Its sender was interrupted, or not told of this record: if it was not accepted by then it never will be. */
  | { readonly _tag: "Abandoned"; readonly time: number; readonly producer: string; readonly record: number }
  /** The delivery handler was told. */
  | {
    readonly _tag: "Reported"
    readonly time: number
    readonly producer: string
    readonly record: number
    readonly outcome:
      | { readonly _tag: "Acknowledged"; readonly partition: PartitionIndex; readonly offset: number | undefined }
      | { readonly _tag: "Failed"; readonly persisted: "no" | "maybe"; readonly reason: string }
  }
  /** Closing begins, and is done. */
  | { readonly _tag: "ProducerClosing"; readonly time: number; readonly producer: string }
  | { readonly _tag: "ProducerClosed"; readonly time: number; readonly producer: string }

/** What a member of the group, or a reader without one, did. */
export type ConsumerEvent =
  | { readonly _tag: "MemberStarted"; readonly time: number; readonly member: string }
  | { readonly _tag: "MemberClosing"; readonly time: number; readonly member: string }
  | { readonly _tag: "MemberClosed"; readonly time: number; readonly member: string }
  /** A record was given to its handler; the handler is done with it, or was interrupted, or has failed. */
  | {
    readonly _tag: "Started"
    readonly time: number
    readonly member: string
    readonly partition: PartitionIndex
    readonly offset: number
    readonly record: number
  }
  | {
    readonly _tag: "Processed"
    readonly time: number
    readonly member: string
    readonly partition: PartitionIndex
    readonly offset: number
    readonly record: number
  }
  | {
    readonly _tag: "HandlerEnded"
    readonly time: number
    readonly member: string
    readonly partition: PartitionIndex
    readonly offset: number
    readonly how: "failed" | "interrupted"
  }
  /** The run or the stream of a member ended, and begins again: what was not settled comes again. */
  | { readonly _tag: "ReaderRestarted"; readonly time: number; readonly member: string }
  /** Without a group: a record was read. */
  | {
    readonly _tag: "Read"
    readonly time: number
    readonly reader: string
    readonly partition: PartitionIndex
    readonly offset: number
    readonly record: number
  }

/** What the cluster saw of the group. A member's id begins with its client id, which is the `member` of other events. */
export type GroupEvent =
  /** The leader has assigned: who owns what in a generation. */
  | {
    readonly _tag: "Assigned"
    readonly time: number
    readonly generation: number
    readonly partitions: ReadonlyMap<string, ReadonlyArray<PartitionIndex>>
  }
  /** A member has its assignment of a generation: the answer has reached it. */
  | { readonly _tag: "Synced"; readonly time: number; readonly memberId: string; readonly generation: number }
  /** A member asks for offsets to be stored, at `sentAt`; `errorCode` is 0 where they were. */
  | {
    readonly _tag: "Committed"
    readonly time: number
    readonly sentAt: number
    readonly memberId: string
    readonly generation: number
    readonly partition: PartitionIndex
    readonly offset: number
    readonly errorCode: number
  }
  | {
    readonly _tag: "Expelled"
    readonly time: number
    readonly memberId: string
    readonly why: "session" | "join" | "sync"
  }

/** What was done to the cluster and the network, and what became of the log. */
export type WorldEvent =
  | { readonly _tag: "FaultBegan"; readonly time: number; readonly id: number; readonly fault: string }
  | { readonly _tag: "FaultEnded"; readonly time: number; readonly id: number; readonly fault: string }
  /** Records from `offset` on, which no majority had, are gone. */
  | {
    readonly _tag: "Truncated"
    readonly time: number
    readonly partition: PartitionIndex
    readonly offset: number
  }
  /** Nothing is broken any more, and nothing will be. */
  | { readonly _tag: "Healed"; readonly time: number }

export type HistoryEvent = ProducerEvent | ConsumerEvent | GroupEvent | WorldEvent

/** What a producer promised. */
export interface ProducerFacts {
  readonly name: string
  readonly acks: "none" | "leader" | "all"
  readonly bufferBytes: number
  readonly maxRecordBytes: number
  /** Whether it has a delivery handler: each accepted record is `Reported` then. */
  readonly hasReports: boolean
}

/** A record that is in the log in the end. */
export interface LoggedRecord {
  readonly partition: PartitionIndex
  readonly offset: number
  readonly record: number
}

/** Everything that is known when a run has ended. */
export interface History {
  /** In the order of time. */
  readonly events: ReadonlyArray<HistoryEvent>
  readonly producers: ReadonlyArray<ProducerFacts>
  /** Names of the members of the group, which are their client ids. */
  readonly members: ReadonlyArray<string>
  readonly sessionTimeout: number
  /** By partition and offset. */
  readonly log: ReadonlyArray<LoggedRecord>
  /** What the group has stored in the end. */
  readonly committed: ReadonlyMap<PartitionIndex, number>
  /** When everything was done after `Healed`: each outcome known, each record processed and committed; else `undefined`. */
  readonly settledAt: number | undefined
  /** How long after `Healed` that may take, in milliseconds. */
  readonly settleWithin: number
  /** Whether timers may overtake ready work: then who is told something may hear of it late. Default false. */
  readonly timersOvertake?: boolean
  /** Members that read by `run` whenever they read: their handlers end when the client ends them. Default none. */
  readonly runs?: ReadonlyArray<string>
  /** Whether members keep what they own while the group rebalances. Default false: all is given up and taken again. */
  readonly cooperative?: boolean
  /** The shortest time for which a member waits for its handlers when partitions are revoked. Default 500. */
  readonly drainTimeout?: number
  /** Fibers, timers and connections that are left after everything was closed. */
  readonly leftovers: ReadonlyArray<string>
}

/** A promise that a history breaks. */
export interface Violation {
  /** The checker's name, which is that of the invariant. */
  readonly invariant: string
  readonly message: string
  /** When it happened, if that can be told. */
  readonly time: number | undefined
}

/** Judges a history: what is wrong with it. */
export type Checker = (history: History) => ReadonlyArray<Violation>
