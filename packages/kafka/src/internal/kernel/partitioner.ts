/** A partition, as far as its choice depends on it: its leader is -1 while it has none. */
interface Candidate {
  readonly leader: number
}

/** An index below `count`; `random` is between 0 (included) and 1. */
const below = (count: number, random: number): number => Math.floor(random * count)

/** The indices of the partitions that have a leader. */
const ledIn = (partitions: ReadonlyArray<Candidate>): Array<number> => {
  const led: Array<number> = []
  for (let i = 0; i < partitions.length; i++) if (partitions[i]!.leader !== -1) led.push(i)
  return led
}

/** A candidate, with the bytes that were accepted for it and have no outcome yet. */
interface LoadedCandidate extends Candidate {
  readonly reserved: number
}

/**
 * Records without a key leave a partition after so many bytes, though its batch
 * takes more: one that cannot be sent, because the partition is slow, stays open
 * for longest (KIP-794).
 */
export const stickyBytes = 64 * 1024

/**
 * Another partition for the next records without a key (KIP-480, KIP-794): of
 * those that have a leader and are not crowded, but the current one, any that
 * holds no more than they do on average, or the slow would get most; if there is
 * none, any that has a leader; else any at all.
 *
 * @param random gives numbers between 0 (included) and 1
 */
export const nextSticky = <P extends LoadedCandidate>(
  current: number,
  partitions: ReadonlyArray<P>,
  isCrowded: (partition: P) => boolean,
  random: () => number
): number => {
  const led = ledIn(partitions)
  const free = led.filter((i) => i !== current && !isCrowded(partitions[i]!))
  if (free.length > 0) {
    let total = 0
    for (const i of free) total += partitions[i]!.reserved
    const light = free.filter((i) => partitions[i]!.reserved * free.length <= total)
    return light[below(light.length, random())]!
  }
  if (led.includes(current)) return current
  return led.length > 0 ? led[below(led.length, random())]! : below(partitions.length, random())
}

/**
 * The partition after `current` that has a leader; the one after it if none has.
 * The first one, after -1, is anywhere, or producers that live for a few records
 * would send them all to the same.
 */
export const nextInTurn = (
  current: number,
  partitions: ReadonlyArray<Candidate>,
  random: () => number
): number => {
  const count = partitions.length
  const first = current >= 0 ? (current + 1) % count : below(count, random())
  for (let i = 0; i < count; i++) {
    const next = (first + i) % count
    if (partitions[next]!.leader !== -1) return next
  }
  return first
}

/** Any partition that has a leader, each as likely as another; any at all if none has. */
export const anyPartition = (partitions: ReadonlyArray<Candidate>, random: () => number): number => {
  const choice = below(partitions.length, random())
  // Most often all have one: no list is made for each record then.
  if (partitions[choice]?.leader !== -1) return choice
  const led = ledIn(partitions)
  return led.length > 0 ? led[below(led.length, random())]! : choice
}
