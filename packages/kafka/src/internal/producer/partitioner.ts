import type { ProduceError } from "../../KafkaError.ts"
import type { KeyPartitioner, Partitioner, PartitionerInput, WithoutKey } from "../../Partitioner.ts"
import type { AnyRecord } from "../../Topic.ts"
import type { PendingRecord } from "../kernel/accumulator.ts"
import type { KeyPartition } from "../kernel/keyPartition.ts"
import { partitionerTypeId } from "../typeIds.ts"
import { rejected } from "./prepare.ts"

/**
 * The partition of a record that names none itself; undefined if the record goes
 * as one without a key, and an error if it cannot go at all.
 */
type Choose = (
  record: AnyRecord,
  pending: PendingRecord,
  partitions: ReadonlyArray<{ readonly leader: number }>,
  random: () => number
) => number | ProduceError | undefined

/** What a `Partitioner` is made of. */
export interface Routing extends Partitioner {
  readonly choose: Choose
  readonly withoutKey: WithoutKey
}

/** Only the key counts. */
export const byKey = (partitionForKey: KeyPartition, withoutKey: WithoutKey): KeyPartitioner & Routing => ({
  [partitionerTypeId]: partitionerTypeId,
  partitionForKey,
  choose: (_, { key }, { length }) => key === null ? undefined : partitionForKey(key, length),
  withoutKey
})

/** The key does not count. */
export const regardless = (withoutKey: WithoutKey): Routing => ({
  [partitionerTypeId]: partitionerTypeId,
  choose: () => undefined,
  withoutKey
})

/** A user's function. */
export const byFunction = (f: (input: PartitionerInput) => number | undefined): Routing => ({
  [partitionerTypeId]: partitionerTypeId,
  choose: (record, { key, value }, partitions, random) => {
    const partitionCount = partitions.length
    // There is nothing to choose from: that is the topic's error, not the function's.
    if (partitionCount === 0) return undefined
    try {
      const choice: unknown = f({
        record,
        key,
        value,
        partitionCount,
        isAvailable: (partition) => (partitions[partition]?.leader ?? -1) !== -1,
        random
      })
      if (choice === undefined) return undefined
      if (Number.isInteger(choice) && (choice as number) >= 0 && (choice as number) < partitionCount) {
        return choice as number
      }
      return failed(record, `gave ${show(choice)}, and the topic has the partitions 0 to ${partitionCount - 1}`)
    } catch (cause) {
      return failed(record, `threw: ${cause instanceof Error ? cause.message : show(cause)}`, cause)
    }
  },
  withoutKey: "sticky"
})

/** The same, with something else for records without a key. */
export const setWithoutKey = <P extends Partitioner>(partitioner: P, withoutKey: WithoutKey): P => ({
  ...partitioner,
  withoutKey
})

/** Whether a value is a `Partitioner`. */
export const isRouting = (u: unknown): u is Routing => typeof u === "object" && u !== null && partitionerTypeId in u

const failed = (record: AnyRecord, problem: string, cause?: unknown): ProduceError =>
  rejected("PartitionerFailed", record, `the partitioner ${problem}`, cause)

/** Whatever it is: the conversion of an object may throw. */
const show = (value: unknown): string =>
  typeof value === "object" || typeof value === "function"
    ? Object.prototype.toString.call(value)
    : typeof value === "string"
    ? JSON.stringify(value)
    : String(value)
