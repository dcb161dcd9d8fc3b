/** Something that happened inside the cluster, which no answer tells, or not to everybody. */
export type ClusterEvent =
  | {
    readonly _tag: "LeaderChanged"
    readonly topic: string
    readonly partition: number
    /** -1 for none. */
    readonly leader: number
    readonly leaderEpoch: number
  }
  | {
    readonly _tag: "InSyncReplicasChanged"
    readonly topic: string
    readonly partition: number
    readonly inSyncReplicas: ReadonlyArray<number>
  }
  /** A new leader had not yet replicated what comes from `offset` on: it is gone. */
  | { readonly _tag: "Truncated"; readonly topic: string; readonly partition: number; readonly offset: number }
  /** What is before `offset` was deleted. */
  | { readonly _tag: "Deleted"; readonly topic: string; readonly partition: number; readonly offset: number }
  /** A broker is out of the cluster, dead or silent for too long; or it is back. */
  | { readonly _tag: "BrokerFenced"; readonly broker: number }
  | { readonly _tag: "BrokerUnfenced"; readonly broker: number }
  | {
    readonly _tag: "GenerationBegan"
    readonly group: string
    readonly generation: number
    readonly members: ReadonlyArray<string>
  }
  /** A member was put out: its session expired, or it did not join or sync in time. */
  | {
    readonly _tag: "MemberExpelled"
    readonly group: string
    readonly member: string
    readonly why: "session" | "join" | "sync"
  }
  /** A static member has not joined in time: the group keeps its place, and goes on without it. */
  | { readonly _tag: "MemberAbsent"; readonly group: string; readonly member: string }
  | { readonly _tag: "CoordinatorMoved"; readonly group: string; readonly broker: number }

/** Is told of each event, at the time at which it happens. */
export type ClusterObserver = (event: ClusterEvent, now: number) => void
