/** A position as it is committed: the next offset to read, and the leader epoch of the record before it. */
export interface CommitPosition {
  readonly offset: number
  /** -1 when unknown. */
  readonly leaderEpoch: number
  /** What the application wants to be kept with the offset. */
  readonly metadata: string
}

/** How far one partition is settled, and how far of that is committed. */
export interface PartitionCommit {
  /** The furthest position that was settled; `null` before the first. */
  readonly position: CommitPosition | null
  /** The offset that the coordinator has; `null` when it has none. */
  readonly committed: number | null
  /** The offset of the request under way; `null` when none is. */
  readonly inFlight: number | null
}

/** Nothing settled yet, over the coordinator's present offset. */
export const makePartitionCommit = (committed: number | null): PartitionCommit => ({
  position: null,
  committed,
  inFlight: null
})

/**
 * Takes note that everything before `offset` is settled. It never moves back, so that settling a record settles all
 * before it, in whatever order the calls come.
 *
 * @param offset the offset after the settled record
 */
export const settle = (commit: PartitionCommit, offset: number, leaderEpoch = -1, metadata = ""): PartitionCommit =>
  commit.position !== null && offset <= commit.position.offset
    ? commit
    : { ...commit, position: { offset, leaderEpoch, metadata } }

const isAhead = (commit: PartitionCommit): boolean =>
  commit.position !== null && (commit.committed === null || commit.position.offset > commit.committed)

/** What to put into the next OffsetCommit; `null` when there is nothing new, or a request is still under way. */
export const toCommit = (commit: PartitionCommit): CommitPosition | null =>
  commit.inFlight === null && isAhead(commit) ? commit.position : null

/** Takes note that `toCommit`'s position goes out. */
export const sent = (commit: PartitionCommit): PartitionCommit => {
  const position = toCommit(commit)
  return position === null ? commit : { ...commit, inFlight: position.offset }
}

/**
 * Takes note that the coordinator has `offset`, if that is what the request under way was for: else it was of a position
 * that has been given up since.
 */
export const acked = (commit: PartitionCommit, offset: number): PartitionCommit =>
  commit.inFlight === offset
    ? {
      ...commit,
      committed: commit.committed === null ? offset : Math.max(commit.committed, offset),
      inFlight: null
    }
    : commit

/** Takes note that the request failed, or that its outcome is unknown: the newest position goes out next. */
export const failed = (commit: PartitionCommit): PartitionCommit => ({ ...commit, inFlight: null })

/** Whether the coordinator has all that was settled. */
export const isCommitted = (commit: PartitionCommit): boolean => !isAhead(commit)
