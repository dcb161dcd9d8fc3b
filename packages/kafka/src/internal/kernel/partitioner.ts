import { partitionForKey } from "./murmur2.ts"

/** Where records without a key go at the moment. */
export interface StickyPartition {
  current: number
}

/** The partition of a record with a key: as Kafka's Java client chooses. */
export const keyedPartition = partitionForKey

/**
 * Another partition for the next batch of records without a key (KIP-480):
 * any with a leader but the current one, or any at all if no other has one.
 *
 * @param random between 0 (included) and 1
 */
export const nextSticky = (
  current: number,
  leaders: ReadonlyArray<{ readonly leader: number }>,
  random: number
): number => {
  const choices: Array<number> = []
  for (let i = 0; i < leaders.length; i++) if (i !== current && leaders[i]!.leader !== -1) choices.push(i)
  if (choices.length > 0) return choices[Math.floor(random * choices.length)]!
  return current >= 0 && current < leaders.length ? current : Math.floor(random * leaders.length)
}
