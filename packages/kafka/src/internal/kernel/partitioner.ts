import { partitionForKey } from "./murmur2.ts"

/** Where records without a key go at the moment. */
export interface StickyPartition {
  current: number
}

/** The partition of a record with a key: as Kafka's Java client chooses. */
export const keyedPartition = partitionForKey

/**
 * Another partition for the next batch of records without a key (KIP-480): any
 * that has a leader and is not crowded, but the current one; if there is none,
 * any that has a leader; else any at all.
 *
 * @param random between 0 (included) and 1
 */
export const nextSticky = <P extends { readonly leader: number }>(
  current: number,
  partitions: ReadonlyArray<P>,
  isCrowded: (partition: P) => boolean,
  random: number
): number => {
  const led: Array<number> = []
  const free: Array<number> = []
  for (let i = 0; i < partitions.length; i++) {
    const partition = partitions[i]!
    if (partition.leader === -1) continue
    led.push(i)
    if (i !== current && !isCrowded(partition)) free.push(i)
  }
  if (free.length > 0) return free[Math.floor(random * free.length)]!
  if (led.includes(current)) return current
  return led.length > 0 ? led[Math.floor(random * led.length)]! : Math.floor(random * partitions.length)
}
