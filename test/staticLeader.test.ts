/** A static member that leads its group, and is away while a topic grows, on Apache Kafka. */
import { assert, it } from "@effect/vitest"
import { Admin, Consumer, Serde, Topic } from "@sluice/kafka"
import * as Conformance from "@sluice/testing/Conformance"
import { Effect, Exit, Layer, Scope, Stream } from "effect"
import { inject } from "vitest"

import { activeResources, client } from "./support/client.ts"
import { reportDuration } from "./support/duration.ts"
import { within } from "./support/members.ts"
import { operator } from "./support/operator.ts"
import { uniqueName } from "./support/topics.ts"

reportDuration("A static leader that comes back")

const { brokers } = inject("kafka")

it.live("finds as it comes back that a topic has grown, which nobody else in the group looks at", () =>
  Effect.gen(function*() {
    const topic = Topic.make(uniqueName("growing"), { key: Serde.string, value: Serde.string })
    yield* Admin.createTopic(topic.name, { partitions: 2 })
    const join = (groupInstanceId: string) =>
      Effect.gen(function*() {
        const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
        // As in a process of its own: what another client knows of the topic does not help.
        const kafka = yield* Layer.buildWithScope(client(brokers), scope)
        const consumer = yield* Consumer.make({
          groupId: topic.name,
          topics: [topic],
          groupInstanceId,
          heartbeatInterval: "200 millis"
        }).pipe(Effect.provide(kafka), Scope.extend(scope))
        return { assignment: consumer.assignment, close: Scope.close(scope, Exit.void) }
      })
    type Member = Effect.Effect.Success<ReturnType<typeof join>>
    /** Waits until two members have so many partitions. */
    const share = (one: Member, ofOne: number, other: Member, ofOther: number) => {
      const areShared = Stream.zipLatestWith(
        one.assignment.changes,
        other.assignment.changes,
        (these, those) => these.length === ofOne && those.length === ofOther
      )
      return within(`${ofOne} and ${ofOther} partitions`, Stream.runDrain(Stream.takeUntil(areShared, (are) => are)))
    }

    const leader = yield* join("leader")
    const isAlone = Stream.takeUntil(leader.assignment.changes, ({ length }) => length === 2)
    yield* within("the first is alone", Stream.runDrain(isAlone))
    const other = yield* join("other")
    yield* share(leader, 1, other, 1)
    yield* leader.close
    yield* Effect.promise(() => operator(brokers.split(",")).addPartitions(topic.name, 6))
    const again = yield* join("leader")
    yield* share(again, 3, other, 3)
    assert.deepStrictEqual(
      [...(yield* again.assignment.get), ...(yield* other.assignment.get)].map(({ partition }) => partition).sort(),
      [0, 1, 2, 3, 4, 5]
    )
  }).pipe(
    Effect.scoped,
    Effect.provide(client(brokers)),
    Conformance.nothingLeft({ leftovers: activeResources })
  ))
