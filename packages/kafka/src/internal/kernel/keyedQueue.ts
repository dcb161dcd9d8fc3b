/** What a {@link KeyedQueue} holds. It is linked through its items, so that queueing one allocates nothing. */
export interface Keyed<Self> {
  /** Items of one key are taken one after the other; `undefined` is for items that wait for none. */
  readonly key: number | undefined
  /** The queue's own: the next one that is ready. */
  nextReady: Self | undefined
  /** The queue's own: the next one of the same key. */
  nextOfKey: Self | undefined
}

/**
 * A queue that many take from: in the order of arrival, but for an item whose key is in somebody's hands, which waits
 * until that is released. So items of one key never overlap and keep their order, and no other key waits for them.
 */
export class KeyedQueue<T extends Keyed<T>> {
  private first: T | undefined
  private last: T | undefined
  private count = 0
  /** The last in line of each key that has an item here or in somebody's hands. */
  private readonly lines = new Map<number, T>()

  /** How many can be taken now. */
  get ready(): number {
    return this.count
  }

  /** Puts an item at the end of its key's line. */
  offer(item: T): void {
    const { key } = item
    if (key !== undefined) {
      const before = this.lines.get(key)
      this.lines.set(key, item)
      if (before !== undefined) {
        before.nextOfKey = item
        return
      }
    }
    this.push(item)
  }

  /** Takes the next item; its key is in the taker's hands until {@link release}. */
  take(): T | undefined {
    const item = this.first
    if (item === undefined) return undefined
    this.first = item.nextReady
    if (this.first === undefined) this.last = undefined
    item.nextReady = undefined
    this.count--
    return item
  }

  /** Ends what {@link take} began: the next of the key may be taken, in its turn. */
  release(item: T): void {
    const { key, nextOfKey } = item
    if (key === undefined) return
    item.nextOfKey = undefined
    if (nextOfKey === undefined) this.lines.delete(key)
    else this.push(nextOfKey)
  }

  /** Ends what {@link take} began, together with all that waits behind it for its key; gives those, in their order. */
  abandon(item: T): ReadonlyArray<T> {
    const behind: Array<T> = []
    if (item.key === undefined) return behind
    this.lines.delete(item.key)
    for (let next = item.nextOfKey; next !== undefined;) {
      behind.push(next)
      const following: T | undefined = next.nextOfKey
      next.nextOfKey = undefined
      next = following
    }
    item.nextOfKey = undefined
    return behind
  }

  /**
   * Takes away those that are ready and of which `isDropped` holds, as if each was taken and released: what waits behind
   * them becomes ready, and is looked at too. What waits behind an item in somebody's hands is not.
   */
  drop(isDropped: (item: T) => boolean): void {
    let item = this.first
    this.first = this.last = undefined
    this.count = 0
    while (item !== undefined) {
      const following: T | undefined = item.nextReady
      item.nextReady = undefined
      let kept: T | undefined = item
      while (kept !== undefined && isDropped(kept)) {
        const behind: T | undefined = kept.nextOfKey
        kept.nextOfKey = undefined
        if (behind === undefined && kept.key !== undefined) this.lines.delete(kept.key)
        kept = behind
      }
      if (kept !== undefined) this.push(kept)
      item = following
    }
  }

  private push(item: T): void {
    if (this.last === undefined) this.first = item
    else this.last.nextReady = item
    this.last = item
    this.count++
  }
}
