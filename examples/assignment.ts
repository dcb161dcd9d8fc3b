/**
 * Follows the partitions that a member of a group has: `assignment.changes` is the stream of its assignments, and `events`
 * tells what happens on the way. Here another member comes and goes.
 */
import { Consumer, Serde, Topic } from "@sluice/kafka"
import { Console, Effect, Fiber, Stream } from "effect"

import { createTopic, runExample } from "./support/cluster.ts"

const Orders = Topic.make("sluice-example-orders", { key: Serde.string, value: Serde.string })
const member = Consumer.make({ groupId: "sluice-example-members", topics: [Orders], heartbeatInterval: "100 millis" })

/** Waits until a member has so many partitions, and says which. */
const has = ({ assignment }: Consumer.Sight, which: (count: number) => boolean) =>
  assignment.changes.pipe(
    Stream.filter((partitions) => which(partitions.length)),
    Stream.take(1),
    Stream.runForEach((partitions) => Console.log(`has partitions ${partitions.map(({ partition }) => partition)}`))
  )

const program = Effect.gen(function*() {
  yield* createTopic(Orders)
  const first = yield* member
  const events = yield* first.events.pipe(
    Stream.filter(({ _tag }) => _tag === "Assigned" || _tag === "Revoked"),
    Stream.take(3),
    Stream.runForEach(({ _tag }) => Console.log(_tag)),
    Effect.fork
  )
  yield* has(first, (count) => count > 0)
  const all = (yield* first.assignment.get).length
  yield* Effect.scoped(Effect.gen(function*() {
    yield* member
    yield* has(first, (count) => count < all)
  }))
  yield* has(first, (count) => count === all)
  yield* Fiber.join(events)
}).pipe(Effect.scoped)

runExample(program)
