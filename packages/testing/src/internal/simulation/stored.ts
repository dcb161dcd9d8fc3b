import * as Effect from "effect/Effect"

import type { MemoryCluster } from "../../MemoryCluster.ts"
import type { Group } from "../cluster/group.ts"
import type { HistoryEvent, LoggedRecord, PartitionIndex } from "./history.ts"
import { contentOf, recordId } from "./producing.ts"

const decoder = new TextDecoder()

/** What is in a topic. */
export const readLog = (
  cluster: MemoryCluster["Type"],
  topic: string
): Effect.Effect<ReadonlyArray<LoggedRecord>> =>
  Effect.map(cluster.records(topic), (records) =>
    records.map(({ headers, key, offset, partition, value }) => {
      const text = decoder.decode(value!)
      const decodedKey = key === null ? null : decoder.decode(key)
      return {
        partition,
        offset: Number(offset),
        record: recordId(text),
        content: contentOf(decodedKey, text, headers),
        key: decodedKey
      }
    }))

/** What a group has committed of its topic. */
export const readCommitted = (
  cluster: MemoryCluster["Type"],
  group: string
): Effect.Effect<ReadonlyMap<PartitionIndex, number>> =>
  Effect.map(
    cluster.committed(group),
    (offsets) => new Map(offsets.map(({ offset, partition }) => [partition, Number(offset)]))
  )

/** Whether a group has all of these members: each was told what it has in the generation that there is. */
export const isComplete = (
  group: Pick<Group, "phase" | "generation" | "members"> | undefined,
  members: ReadonlyArray<string>,
  events: ReadonlyArray<HistoryEvent>
): boolean =>
  group?.phase === "Stable" && members.every((name) => {
    const last = events.findLast((event) => event._tag === "Synced" && event.memberId.startsWith(`${name}-`))
    return last?._tag === "Synced" && last.generation === group.generation && group.members.has(last.memberId)
  })
