import type { Consumer } from "@sluice/kafka"
import { Effect } from "effect"

import { member, type NumberRecord, Numbers, range, Seen, writeBatches } from "./world.ts"

type Options = Partial<Consumer.ConsumerOptions<typeof Numbers>>

/** A member that runs a handler, and what it saw. */
export const running = (
  options: Options = {},
  handler: (seen: Seen) => (record: NumberRecord) => Effect.Effect<unknown, unknown> = (seen) => seen.handler
) =>
  Effect.gen(function*() {
    const { close, consumer } = yield* member(options)
    const seen = new Seen()
    const run = yield* Effect.fork(consumer.run(handler(seen)))
    return { close, consumer, seen, run }
  })

/** See {@link running}. */
export type Running = Effect.Effect.Success<ReturnType<typeof running>>

/** Writes the same numbers to several partitions. */
export const writeAll = (partitions: ReadonlyArray<number>, from: number, to: number) =>
  writeBatches(Numbers, partitions, [range(from, to).map(String)])

/** Which partitions a member has, shown by writing to all. */
export const partitionsOf = (seen: Seen, value: number) =>
  seen.values.filter((each) => each.endsWith(`/${value}`)).map((each) => Number(each.split("/")[0])).sort()

/** How many records they saw. */
export const total = (members: ReadonlyArray<Running>) => members.reduce((sum, { seen }) => sum + seen.count, 0)

/** Everything that was seen, each partition's values sorted. */
export const together = (members: ReadonlyArray<Running>, partition: number) =>
  members.flatMap(({ seen }) => seen.of(partition)).sort((a, b) => a - b)
