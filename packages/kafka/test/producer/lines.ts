import * as Serde from "@sluice/kafka/Serde"
import * as Topic from "@sluice/kafka/Topic"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Effect } from "effect"

export const Lines = Topic.make("lines", { key: Serde.string, value: Serde.string })

/** A record for {@link Lines}. */
export const line = (
  value: string,
  fields: Omit<Topic.RecordFields<string, string>, "value"> = {}
): Topic.ProducerRecord<"lines", string, string> => Lines.record({ ...fields, value })

const decoder = new TextDecoder()

/** The values in a partition of a topic, in the order of the log. */
export const values = (partition = 0, topic = "lines"): Effect.Effect<ReadonlyArray<string>, never, MemoryCluster> =>
  MemoryCluster.pipe(
    Effect.flatMap((cluster) => cluster.records(topic)),
    Effect.map((records) => records.filter((r) => r.partition === partition).map((r) => decoder.decode(r.value!)))
  )

/** The values in all partitions of a topic. */
export const allValues = (topic = "lines"): Effect.Effect<ReadonlyArray<string>, never, MemoryCluster> =>
  MemoryCluster.pipe(
    Effect.flatMap((cluster) => cluster.records(topic)),
    Effect.map((records) => records.map((r) => decoder.decode(r.value!)))
  )

/** `["0", "1", …]`. */
export const count = (n: number): ReadonlyArray<string> => Array.from({ length: n }, (_, i) => String(i))
