/** What one Fetch request may bring. */
export interface FetchReservation {
  /** What to ask for, in the request's order: a broker serves the first ones first. */
  readonly partitions: ReadonlyArray<{ readonly key: string; readonly maxBytes: number }>
  /** The bound of the whole response, in bytes: the sum of the partitions'. */
  readonly maxBytes: number
  /**
   * Whether a partition of this broker was left out because its records wait to be consumed, or because bytes are
   * short: the broker should then not hold the request for long, as that partition may soon be ready.
   */
  readonly partial: boolean
}

interface PartitionShare {
  /** False once it is removed and only its remaining bytes are waited for. */
  assigned: boolean
  buffered: number
  fetch: FetchReservation | null
}

/** What a partition would ask for: half of its share, if so much is free; while it is handled, the other half comes. */
const wantedBytes = (share: PartitionShare, shareBytes: number): number =>
  !share.assigned || share.fetch !== null || share.buffered > shareBytes / 2
    ? 0
    : Math.max(1, Math.floor(shareBytes / 2))

/**
 * Decides which partitions may be fetched now, so that responses under way and records not yet consumed stay within a
 * bound of memory.
 *
 * Each partition has a share of its own, `partitionBytes` or an equal part of `totalBytes` if that is less, and is
 * fetched by halves, when one is free: a partition that is never consumed fills its own share and takes nothing from the
 * others. Who received records goes to the end of the line.
 *
 * A broker sends the first batch of a response whole however large it is (KIP-74), so the bound may be exceeded by one
 * batch a response. Nothing more is fetched then until there is room, and while there is little, all ask for less in
 * proportion: the first in line that has records still gets a batch.
 */
export class FetchBudget {
  private readonly totalBytes: number
  private readonly partitionBytes: number
  /** In the order in which partitions are served. */
  private readonly shares = new Map<string, PartitionShare>()
  private assignedCount = 0
  private held = 0

  /** Bounds in bytes; `totalBytes` is 64 MiB and `partitionBytes` 2 MiB by default. */
  constructor(options: { readonly totalBytes?: number; readonly partitionBytes?: number } = {}) {
    this.totalBytes = options.totalBytes ?? 64 * 1024 * 1024
    this.partitionBytes = options.partitionBytes ?? 2 * 1024 * 1024
  }

  /** The bytes reserved for responses under way, and those of records not yet consumed. */
  get heldBytes(): number {
    return this.held
  }

  /** Takes a partition in, at the end of the line. */
  add(key: string): void {
    const share = this.shares.get(key)
    if (share?.assigned) return
    this.assignedCount++
    this.shares.delete(key)
    this.shares.set(key, { assigned: true, buffered: share?.buffered ?? 0, fetch: share?.fetch ?? null })
  }

  /** Fetches a partition no more. What it holds counts until it has arrived and is consumed, or dropped, as `consumed`. */
  remove(key: string): void {
    const share = this.shares.get(key)
    if (!share?.assigned) return
    this.assignedCount--
    share.assigned = false
    this.forgetIfEmpty(key, share)
  }

  /**
   * Reserves what one Fetch of `keys`, the partitions of one broker, may bring; `null` if none of them may be fetched now.
   * `isPartial` says that others of the broker are left out already, since they hold too much in another measure.
   */
  reserve(keys: ReadonlySet<string>, isPartial = false): FetchReservation | null {
    const shareBytes = Math.max(1, Math.floor(Math.min(this.partitionBytes, this.totalBytes / this.assignedCount)))
    // Of every broker, so that a busy one does not take what the others' partitions would ask for.
    let wantedByAll = 0
    for (const share of this.shares.values()) wantedByAll += wantedBytes(share, shareBytes)
    const free = Math.max(0, this.totalBytes - this.held)
    const scale = wantedByAll <= free ? 1 : free / wantedByAll

    const partitions: Array<{ readonly key: string; readonly maxBytes: number }> = []
    let maxBytes = 0
    let partial = isPartial
    for (const [key, share] of this.shares) {
      if (!keys.has(key) || !share.assigned) continue
      const wanted = wantedBytes(share, shareBytes)
      if (wanted === 0 || free === 0) {
        partial = true
        continue
      }
      // A byte at least, for a batch: who is left out for want of bytes may be so for good.
      const asked = Math.max(1, Math.floor(wanted * scale))
      partitions.push({ key, maxBytes: asked })
      maxBytes += asked
    }
    if (partitions.length === 0) return null
    const reservation: FetchReservation = { partitions, maxBytes, partial }
    for (const { key } of partitions) this.shares.get(key)!.fetch = reservation
    this.held += maxBytes
    return reservation
  }

  /**
   * Ends a reservation: its response is here, or it failed and brought nothing.
   *
   * @param received the bytes that arrived, by key, for the partitions that have any
   */
  arrived(reservation: FetchReservation, received: ReadonlyMap<string, number>): void {
    for (const { key, maxBytes } of reservation.partitions) {
      const share = this.shares.get(key)
      if (share?.fetch !== reservation) continue
      share.fetch = null
      const bytes = received.get(key) ?? 0
      share.buffered += bytes
      this.held += bytes - maxBytes
      if (bytes > 0) {
        this.shares.delete(key)
        this.shares.set(key, share)
      }
      this.forgetIfEmpty(key, share)
    }
  }

  /** Releases bytes that `arrived` for a partition, as their records are consumed or dropped. */
  consumed(key: string, bytes: number): void {
    const share = this.shares.get(key)
    if (share === undefined) return
    share.buffered -= bytes
    this.held -= bytes
    this.forgetIfEmpty(key, share)
  }

  private forgetIfEmpty(key: string, share: PartitionShare): void {
    if (!share.assigned && share.buffered === 0 && share.fetch === null) this.shares.delete(key)
  }
}
