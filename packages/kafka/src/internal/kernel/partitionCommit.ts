/** A position as it is committed: the next offset to read, and the leader epoch of the record before it. */
export interface CommitPosition extends CommitPoint {
  /** -1 when unknown. */
  readonly leaderEpoch: number
  /** What the application wants to be kept with the offset. */
  readonly metadata: string
}

/** What tells one commit from another. */
export interface CommitPoint {
  readonly offset: number
  /** How often other metadata took the place of what was to be kept with this offset. */
  readonly revision: number
}

/** How far one partition is settled, and how far of that is committed. */
export interface PartitionCommit {
  /** The furthest position that was settled; `null` before the first. */
  readonly position: CommitPosition | null
  /** The offset that the coordinator has; `null` when it has none. */
  readonly committed: number | null
  /** Of what it keeps with that offset. */
  readonly committedRevision: number
  /** The request under way; `null` when none is. */
  readonly inFlight: CommitPoint | null
}

/** Nothing settled yet, over the coordinator's present offset. */
export const makePartitionCommit = (committed: number | null): PartitionCommit => ({
  position: null,
  committed,
  committedRevision: 0,
  inFlight: null
})

/**
 * Takes note that everything before `offset` is settled. It never moves back, so that settling a record settles all
 * before it, in whatever order the calls come. Where it does not move, what is to be kept with it may still change.
 *
 * @param offset the offset after the settled record
 * @param metadata what to keep with it; `undefined` leaves what is kept with the same offset
 */
export const settle = (
  commit: PartitionCommit,
  offset: number,
  leaderEpoch = -1,
  metadata: string | undefined = undefined
): PartitionCommit => {
  const { committed, position } = commit
  if (position === null || offset > position.offset) {
    const revision = metadata !== undefined && offset === committed ? commit.committedRevision + 1 : 0
    return { ...commit, position: { offset, leaderEpoch, metadata: metadata ?? "", revision } }
  }
  return offset < position.offset || metadata === undefined || metadata === position.metadata
    ? commit
    : { ...commit, position: { ...position, metadata, revision: position.revision + 1 } }
}

/** Whether the coordinator has this, or what came after it. */
export const hasCommitted = ({ committed, committedRevision }: PartitionCommit, point: CommitPoint): boolean =>
  committed !== null &&
  (committed > point.offset || (committed === point.offset && committedRevision >= point.revision))

/** What to put into the next OffsetCommit; `null` when there is nothing new, or a request is still under way. */
export const toCommit = (commit: PartitionCommit): CommitPosition | null =>
  commit.inFlight === null && !isCommitted(commit) ? commit.position : null

/** Takes note that `toCommit`'s position goes out. */
export const sent = (commit: PartitionCommit): PartitionCommit => {
  const position = toCommit(commit)
  return position === null
    ? commit
    : { ...commit, inFlight: { offset: position.offset, revision: position.revision } }
}

/**
 * Takes note that the coordinator has `point`, if that is what the request under way was for: else it was of a position
 * that has been given up since.
 */
export const acked = (commit: PartitionCommit, point: CommitPoint): PartitionCommit => {
  const { inFlight } = commit
  if (inFlight === null || inFlight.offset !== point.offset || inFlight.revision !== point.revision) return commit
  return hasCommitted(commit, point)
    ? { ...commit, inFlight: null }
    : { ...commit, committed: point.offset, committedRevision: point.revision, inFlight: null }
}

/** Takes note that the request failed, or that its outcome is unknown: the newest position goes out next. */
export const failed = (commit: PartitionCommit): PartitionCommit => ({ ...commit, inFlight: null })

/** Takes note that the request failed for what was to be kept with the offset: the position goes out without that. */
export const refused = (commit: PartitionCommit): PartitionCommit => {
  const { inFlight, position } = commit
  const isSame = position !== null && position.offset === inFlight?.offset && position.revision === inFlight.revision
  return failed(isSame ? settle(commit, position.offset, position.leaderEpoch, "") : commit)
}

/** Whether the coordinator has all that was settled. */
export const isCommitted = (commit: PartitionCommit): boolean =>
  commit.position === null || hasCommitted(commit, commit.position)
