/**
 * What was done to a client, and what it said, in the order of time: what the checkers judge.
 *
 * A record is known by its id, which is in its value. Times are milliseconds of virtual time.
 */

/** A partition of the one topic that a history is about. */
export type PartitionIndex = number

/** Why a record cannot be sent as it is. */
export type Flaw = "too large" | "not serializable" | "no such partition" | "no such topic"

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
    /** Its key, value and headers, in words; where it is known, it is the same of what is in the log, and of what is delivered. */
    readonly content?: string
    /** Where it must go: by its own partition, or by its key. `undefined` where any will do. */
    readonly partition: PartitionIndex | undefined
    /** Where it must go instead if the producer knows that the topic has grown: its key says so. */
    readonly partitionOnceGrown?: PartitionIndex
    /** What is wrong with it; without it, it can be sent. */
    readonly flaw?: Flaw
    /** Whether it is for another topic than the one that the history is about: only its outcome is judged. Default false. */
    readonly isAside?: boolean
    /** Whether its id is handed over with it, as its correlation. Default false. */
    readonly hasCorrelation?: boolean
    /**
     * Whether it is refused where it would have to wait for room, and whether that is known at once, or the cluster may have
     * to be asked first. Without it, it waits.
     */
    readonly mayNotWait?: "at once" | "once known"
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
    /** What was handed over with the record, to be known again. */
    readonly correlation?: number
    /** How often it was sent. Default: not known. */
    readonly attempts?: number
    readonly outcome:
      | { readonly _tag: "Acknowledged"; readonly partition: PartitionIndex; readonly offset: number | undefined }
      | { readonly _tag: "Failed"; readonly persisted: "no" | "maybe"; readonly reason: string }
  }
  /** The delivery handler is done with the report. Recorded only where reports of a partition are handled in turn. */
  | { readonly _tag: "ReportHandled"; readonly time: number; readonly producer: string; readonly record: number }
  /** A stream of records with this lane gave what became of one of them. */
  | {
    readonly _tag: "Piped"
    readonly time: number
    readonly producer: string
    readonly lane: number
    readonly record: number
    readonly correlation: number | undefined
  }
  /** A producer is told to flush; it says that it has. One flush at a time. */
  | { readonly _tag: "Flushing"; readonly time: number; readonly producer: string }
  | { readonly _tag: "Flushed"; readonly time: number; readonly producer: string }
  /** A sink has taken all records with this number, and says that they are acknowledged. */
  | { readonly _tag: "SinkDone"; readonly time: number; readonly producer: string; readonly lane: number }
  /** Closing begins, and is done. */
  | { readonly _tag: "ProducerClosing"; readonly time: number; readonly producer: string }
  | { readonly _tag: "ProducerClosed"; readonly time: number; readonly producer: string }

/** What a member of the group, or a reader without one, did. */
export type ConsumerEvent =
  | { readonly _tag: "MemberStarted"; readonly time: number; readonly member: string }
  | { readonly _tag: "MemberClosing"; readonly time: number; readonly member: string }
  | { readonly _tag: "MemberClosed"; readonly time: number; readonly member: string }
  /** Its process is killed: nothing of it runs any more, and nobody is told. */
  | { readonly _tag: "MemberKilled"; readonly time: number; readonly member: string }
  /** It was told that another one has taken its name, and ends; it starts again. */
  | { readonly _tag: "MemberFenced"; readonly time: number; readonly member: string }
  /** Its process stands still; it goes on. */
  | { readonly _tag: "Stalled"; readonly time: number; readonly member: string }
  | { readonly _tag: "Resumed"; readonly time: number; readonly member: string }
  /** A record was given to its handler; the handler is done with it, or was interrupted, or has failed. */
  | {
    readonly _tag: "Started"
    readonly time: number
    readonly member: string
    readonly partition: PartitionIndex
    readonly offset: number
    readonly record: number
    readonly content?: string
    /** Where a member has several streams, or takes batches: which of them it came in. */
    readonly stream?: number
  }
  | {
    readonly _tag: "Processed"
    readonly time: number
    readonly member: string
    readonly partition: PartitionIndex
    readonly offset: number
    readonly record: number
    readonly stream?: number
  }
  | {
    readonly _tag: "HandlerEnded"
    readonly time: number
    readonly member: string
    readonly partition: PartitionIndex
    readonly offset: number
    readonly stream?: number
    readonly how: "failed" | "interrupted"
  }
  /** The run or the stream of a member ended, and begins again: what was not settled comes again. */
  | { readonly _tag: "ReaderRestarted"; readonly time: number; readonly member: string }
  /** A member is told to go on elsewhere with a partition; it has, with this offset, or it could not (the last one counts). */
  | {
    readonly _tag: "Seeking" | "Sought"
    readonly time: number
    readonly member: string
    readonly partition: PartitionIndex
    readonly offset: number
  }
  /** A member has stopped delivering a partition, with what is in hand; it is told to go on. */
  | {
    readonly _tag: "Paused" | "Continued"
    readonly time: number
    readonly member: string
    readonly partition: PartitionIndex
  }
  /** Without a group: a record was read. */
  | {
    readonly _tag: "Read"
    readonly time: number
    readonly reader: string
    readonly partition: PartitionIndex
    readonly offset: number
    readonly record: number
    readonly content?: string
  }
  /** Without a group: the stream failed with the place of a record that does not decode. */
  | {
    readonly _tag: "ReadFailed"
    readonly time: number
    readonly reader: string
    readonly partition: PartitionIndex
    readonly offset: number
  }

/** What a broker sent to a member: for each partition whole batches, or what there is room for of the last one. */
export interface FetchedEvent {
  readonly _tag: "Fetched"
  readonly time: number
  /** When it was asked for. */
  readonly sentAt: number
  readonly member: string
  readonly broker: number
  /** How many bytes of records it brought more than it was asked for, since a first batch comes whole. */
  readonly excess: number
  /** Only those that have records: from the offset that was asked for up to, and without, `end`. */
  readonly parts: ReadonlyArray<{
    readonly partition: PartitionIndex
    readonly from: number
    readonly end: number
    readonly bytes: number
  }>
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
  | {
    readonly _tag: "Synced"
    readonly time: number
    readonly memberId: string
    readonly generation: number
    /** What it was told; default: what the leader has assigned to it by this id. */
    readonly partitions?: ReadonlyArray<PartitionIndex>
  }
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
  /** A static member has not joined a generation, which keeps its place all the same. */
  | {
    readonly _tag: "Absent"
    readonly time: number
    readonly memberId: string
  }
  /** A member was told where the log of a partition ends now, to begin there. */
  | {
    readonly _tag: "EndFound"
    readonly time: number
    readonly partition: PartitionIndex
    readonly offset: number
  }

/** What was done to the cluster and the network, and what became of the log. */
export type WorldEvent =
  /** A broker tells a producer that a batch is in the log, from `from` up to, and without, `end`. */
  | {
    readonly _tag: "Stored"
    readonly time: number
    readonly partition: PartitionIndex
    readonly from: number
    readonly end: number
  }
  | {
    readonly _tag: "FaultBegan"
    readonly time: number
    readonly id: number
    readonly fault: string
    /** Whose part in the group it can disturb. Default: all members'. */
    readonly members?: ReadonlyArray<string>
  }
  | { readonly _tag: "FaultEnded"; readonly time: number; readonly id: number; readonly fault: string }
  /**
   * A connection over which a member takes part in its group is silent, and nobody was told; it is closed, or leads to a
   * broker that does not coordinate the group now.
   */
  | { readonly _tag: "SilenceBegan"; readonly time: number; readonly member: string; readonly connection: number }
  /** Its client waits for an answer there, and gives that up at `until`. */
  | { readonly _tag: "SilenceFelt"; readonly time: number; readonly connection: number; readonly until: number }
  | { readonly _tag: "SilenceEnded"; readonly time: number; readonly connection: number }
  /** Records from `offset` on, which no majority had, are gone. */
  | {
    readonly _tag: "Truncated"
    readonly time: number
    readonly partition: PartitionIndex
    readonly offset: number
  }
  /** Records before `offset` were deleted; `log` has them all the same. */
  | {
    readonly _tag: "Deleted"
    readonly time: number
    readonly partition: PartitionIndex
    readonly offset: number
  }
  /** The topic gets more partitions, `count` in all. */
  | { readonly _tag: "PartitionsAdded"; readonly time: number; readonly count: number }
  /** The topic of the records that are aside is deleted, and made again. */
  | { readonly _tag: "TopicDeleted"; readonly time: number }
  | { readonly _tag: "TopicMade"; readonly time: number }
  /** Nothing is broken any more, and nothing will be. */
  | { readonly _tag: "Healed"; readonly time: number }

export type HistoryEvent = ProducerEvent | ConsumerEvent | FetchedEvent | GroupEvent | WorldEvent

/** What a producer promised. */
export interface ProducerFacts {
  readonly name: string
  readonly acks: "none" | "leader" | "all"
  /** Whether brokers tell a batch that comes again; default: with acks all. */
  readonly idempotent?: boolean
  readonly bufferBytes: number
  /** How long after its acceptance a record has its outcome at the latest, in milliseconds. */
  readonly deliveryTimeout: number
  /** Whether it has a delivery handler: each accepted record is `Reported` then. */
  readonly hasReports: boolean
  /** Whether reports of a partition are handled one after the other. Default false. */
  readonly reportsInTurn?: boolean
  /** How often a batch is sent again at most; default: any number of times. */
  readonly retries?: number | undefined
  /** How many batches of a partition are in flight at most. Default: not known. */
  readonly maxInFlight?: number
}

/** A record that is in the log in the end, or was when it was deleted. */
export interface LoggedRecord {
  readonly partition: PartitionIndex
  readonly offset: number
  readonly record: number
  readonly content?: string
  /** Default: none. */
  readonly key?: string | null
}

/** Which records a member handles at a time. */
export interface HandlingFacts {
  /**
   * One of each partition (or of each of its streams), one of each key, or any; or batches, one of each partition.
   */
  readonly order: "partition" | "key" | "none" | "batch"
  /** How many handlers at a time; default: no limit. */
  readonly concurrency?: number | undefined
  /** How many records of a partition from the first on that is not done, out of order; default: no limit. */
  readonly maxAhead?: number | undefined
}

/** Everything that is known when a run has ended. */
export interface History {
  /** In the order of time. */
  readonly events: ReadonlyArray<HistoryEvent>
  readonly producers: ReadonlyArray<ProducerFacts>
  /** Names of the members of the group, which are their client ids. */
  readonly members: ReadonlyArray<string>
  readonly sessionTimeout: number
  /** How long a rebalance waits for a member. Default: the session timeout. */
  readonly rebalanceTimeout?: number
  /** How many bytes of fetched records each member may hold. Default: not known. */
  readonly fetchBuffers?: ReadonlyMap<string, number>
  /** By partition and offset. */
  readonly log: ReadonlyArray<LoggedRecord>
  /** What is, or was before it was deleted, in the topic of the records that are aside. */
  readonly logAside?: ReadonlyArray<LoggedRecord>
  /** What the group has stored in the end. */
  readonly committed: ReadonlyMap<PartitionIndex, number>
  /** When everything was done after `Healed`: each outcome known, each record processed and committed; else `undefined`. */
  readonly settledAt: number | undefined
  /** How long after `Healed` that may take, in milliseconds. */
  readonly settleWithin: number
  /** How many partitions the topic had in the beginning; needed where it grows. */
  readonly partitions?: number
  /** How long clients may go on with what they know of the cluster, in milliseconds. Default: without end. */
  readonly metadataMaxAge?: number
  /** The largest batch that the topic takes, in bytes. Default: any. */
  readonly maxMessageBytes?: number | undefined
  /** How long a client tries to ask for metadata before it gives up, in milliseconds. Default: without end. */
  readonly lookupTimeout?: number
  /** Whether timers may overtake ready work: then who is told something may hear of it late. Default false. */
  readonly timersOvertake?: boolean
  /** Whether what is ready first runs first, as it does in production but for a yield now and then. Default false. */
  readonly inUsualOrder?: boolean
  /** Members that read by `run` whenever they read: their handlers end when the client ends them. Default none. */
  readonly runs?: ReadonlyArray<string>
  /** How members handle records. Default: one of each partition. */
  readonly handling?: ReadonlyMap<string, HandlingFacts>
  /** Whether members commit before they handle: each record is handled at most once. Default false. */
  readonly atMostOnce?: boolean
  /** Where the group begins. Default `"earliest"`. */
  readonly reset?: "earliest" | "latest"
  /** How long handlers of a run get at least before they are interrupted, by member. Default: not known. */
  readonly drainTimeouts?: ReadonlyMap<string, number>
  /** How long closing may take, by member. Default: not known. */
  readonly closingTimes?: ReadonlyMap<string, number>
  /** Whether members keep what they own while the group rebalances. Default false: all is given up and taken again. */
  readonly cooperative?: boolean
  /** The shortest time for which a member waits for its handlers when partitions are revoked. Default 500. */
  readonly drainTimeout?: number
  /** Records that the readers without a group cannot decode. Default none. */
  readonly undecodable?: ReadonlySet<number>
  /** When it was over. Default: with its last event. */
  readonly endedAt?: number
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
