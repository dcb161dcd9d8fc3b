import { assert } from "@effect/vitest"
import * as Consumer from "@sluice/kafka/Consumer"
import type { ConsumerRecord } from "@sluice/kafka/ConsumerRecord"
import * as Producer from "@sluice/kafka/Producer"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

import { type Define, joinGroup, Journal, makeSignal, newTopic, quick, range, uniqueName, within } from "./harness.ts"

/** A record that a member of a group has handled. */
interface Handled {
  readonly member: string
  readonly partition: number
  readonly value: string
}

const partitionsOf = (entries: ReadonlyArray<Handled>, member: string): ReadonlyArray<number> =>
  Array.from(new Set(entries.flatMap((entry) => entry.member === member ? [entry.partition] : []))).sort()

/** What members of a group promise: what they handle, what they commit, and what they hand over. */
export const groups = (test: Define): void => {
  for (const assignor of ["cooperative-sticky", "range"] as const) {
    test(
      `members share the partitions and hand them over, without a loss or a duplicate (${assignor})`,
      Effect.gen(function*() {
        const partitions = range(6)
        const topic = yield* newTopic({ partitions: partitions.length })
        const groupId = yield* uniqueName("group")
        const journal = new Journal<Handled>()
        const join = (member: string) =>
          joinGroup(
            { ...quick, groupId, topics: [topic], assignor },
            ({ partition, value }) => Effect.sync(() => journal.add({ member, partition, value: value! }))
          )

        const acknowledged: Array<string> = []
        const producer = yield* Producer.make()
        let isWriting = true
        const round = Effect.suspend(() => {
          const written = partitions.map((partition) => ({ partition, value: `${acknowledged.length + partition}` }))
          return Effect.map(producer.sendAll(written.map((fields) => topic.record(fields))), () => {
            for (const { value } of written) acknowledged.push(value)
          })
        })
        const writing = yield* Effect.forkScoped(
          Effect.repeat(Effect.zipLeft(round, Effect.sleep("1 millis")), { while: () => isWriting })
        )

        const first = yield* join("first")
        yield* journal.until(
          "one member has all",
          (entries) => partitionsOf(entries, "first").length === partitions.length
        )
        const second = yield* join("second")
        yield* journal.until("two members have three partitions each", (entries) => {
          const joined = entries.findIndex(({ member }) => member === "second")
          const since = joined === -1 ? [] : entries.slice(joined)
          return partitionsOf(since, "first").length === 3 && partitionsOf(since, "second").length === 3
        })
        yield* within("the first leaves", first.leave)
        const left = journal.entries.length
        yield* journal.until(
          "the member that stays has all",
          (entries) => partitionsOf(entries.slice(left), "second").length === partitions.length
        )
        assert.deepStrictEqual(partitionsOf(journal.entries.slice(left), "first"), [])
        isWriting = false
        yield* Fiber.join(writing)
        yield* journal.until("all is handled", ({ length }) => length >= acknowledged.length)
        yield* within("the second leaves", second.leave)

        assert.sameMembers(journal.entries.map(({ value }) => value), acknowledged)
        for (const partition of partitions) {
          const handled = journal.entries.filter((entry) => entry.partition === partition)
          assert.deepStrictEqual(
            handled.map(({ value }) => Number(value)),
            handled.map((_, index) => index * partitions.length + partition)
          )
        }

        // All of it is committed: a third member finds only what is new.
        const last = yield* producer.sendAll(partitions.map((partition) => topic.record({ partition, value: "last" })))
        const third = yield* Consumer.make({ ...quick, groupId, topics: [topic], assignor })
        const records = yield* within(
          "a third member",
          Stream.runCollect(Stream.take(third.records, partitions.length))
        )
        assert.sameDeepMembers(
          Array.from(records, ({ offset, partition }) => ({ offset, partition })),
          last.map(({ offset, partition }) => ({ offset: offset!, partition }))
        )
      })
    )
  }

  test(
    "members of a group that read streams and commit by hand hand over nothing twice",
    Effect.gen(function*() {
      const partitions = 4
      const topic = yield* newTopic({ partitions })
      const groupId = yield* uniqueName("group")
      const journal = new Journal<Handled>()
      const join = (member: string) =>
        Effect.gen(function*() {
          const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
          const consumer = yield* Scope.extend(Consumer.make({ ...quick, groupId, topics: [topic] }), scope)
          yield* Effect.forkScoped(consumer.records.pipe(
            Stream.tap(({ partition, value }) => Effect.sync(() => journal.add({ member, partition, value: value! }))),
            Stream.run(consumer.commitSink)
          ))
        })
      const producer = yield* Producer.make()
      let count = 0
      const round = Effect.suspend(() =>
        producer.sendAll(range(partitions).map((partition) => topic.record({ partition, value: String(count++) })))
      )
      yield* join("first")
      yield* round
      yield* journal.until("the first has all", (entries) => partitionsOf(entries, "first").length === partitions)
      yield* join("second")
      yield* Effect.raceFirst(
        journal.until(
          "both have their half",
          (entries) =>
            partitionsOf(entries, "second").length === 2 && partitionsOf(entries.slice(-40), "first").length === 2
        ),
        Effect.forever(Effect.zipRight(Effect.uninterruptible(round), Effect.sleep("1 millis")))
      )
      yield* journal.until("all is handled", ({ length }) => length >= count)
      assert.sameMembers(journal.entries.map(({ value }) => value), range(count).map(String))
    })
  )

  test(
    "what was read and not committed goes to a partition's next owner, and can no longer be committed",
    Effect.gen(function*() {
      const topic = yield* newTopic({ partitions: 2 })
      const options = {
        ...quick,
        groupId: yield* uniqueName("group"),
        topics: [topic],
        drainTimeout: "100 millis"
      } as const
      const producer = yield* Producer.make()
      yield* producer.sendAll(range(20).map((number) => topic.record({ partition: number % 2, value: String(number) })))
      const join = Effect.gen(function*() {
        const consumer = yield* Consumer.make(options)
        const records = new Journal<ConsumerRecord<string, string, string | null>>()
        yield* Effect.forkScoped(
          Stream.runForEach(consumer.records, (record) => Effect.sync(() => records.add(record)))
        )
        return { consumer, records }
      })
      const first = yield* join
      yield* first.records.until("one member has read all", ({ length }) => length === 20)
      const second = yield* join
      yield* second.records.until("the other has read its half", ({ length }) => length === 10)

      const [{ partition: moved }] = second.records.entries as [ConsumerRecord<string, string, string | null>]
      assert.sameMembers(
        second.records.entries.map(({ value }) => Number(value)),
        range(20).filter((number) => number % 2 === moved)
      )
      const [gone, kept] = [moved, 1 - moved].map((partition) =>
        first.records.entries.filter((record) => record.partition === partition)
      )
      const error = yield* within("the refusal", Effect.flip(first.consumer.commit(gone!)))
      assert.deepStrictEqual(
        [error._tag, error.reason._tag, error.reason.topic, error.reason.partition],
        ["RetriableError", "NotAssigned", topic.name, moved]
      )
      yield* within("the commit of what was kept", first.consumer.commit(kept!))
      yield* within("the new owner's commit", second.consumer.commit(second.records.entries))
    })
  )

  test(
    "run commits what is handled when the consumer closes",
    Effect.gen(function*() {
      const topic = yield* newTopic({ partitions: 3 })
      const groupId = yield* uniqueName("group")
      const written = range(600).map(String)
      const producer = yield* Producer.make()
      yield* producer.sendAll(written.map((value, index) => topic.record({ partition: index % 3, value })))
      const handled = new Journal<string>()
      const handler = ({ value }: { readonly value: string | null }) =>
        Effect.zipRight(Effect.yieldNow(), Effect.sync(() => handled.add(value!)))
      // Never commits by the clock.
      const options = { ...quick, groupId, topics: [topic], commitInterval: "1 hour" } as const
      const first = yield* joinGroup(options, handler)
      yield* handled.until("a part is handled", ({ length }) => length >= 100)
      yield* within("the first leaves", first.leave)
      const before = handled.entries.length
      const second = yield* joinGroup(options, handler)
      yield* handled.until("all is handled", ({ length }) => length >= written.length)
      yield* within("the second leaves", second.leave)
      assert.isAtLeast(before, 100)
      assert.sameMembers(handled.entries, written)
    })
  )

  test(
    "closing lets the handlers finish what they have in hand, commits it, and ends the run",
    Effect.gen(function*() {
      const topic = yield* newTopic({ partitions: 2 })
      const groupId = yield* uniqueName("group")
      const producer = yield* Producer.make()
      for (const partition of [0, 1]) {
        yield* producer.sendAll(range(3).map((number) => topic.record({ partition, value: `${partition}-${number}` })))
      }
      const started = new Journal<string>()
      const finished: Array<string> = []
      const gate = yield* makeSignal
      const first = yield* joinGroup(
        { ...quick, groupId, topics: [topic] },
        ({ value }) =>
          Effect.sync(() => started.add(value!)).pipe(
            Effect.zipRight(gate.raised("the gate")),
            Effect.zipRight(Effect.sync(() => finished.push(value!)))
          )
      )
      yield* started.until("both handlers have a record", ({ length }) => length === 2)
      const leaving = yield* Effect.forkScoped(first.leave)
      yield* Effect.yieldNow()
      yield* gate.raise
      yield* within("the first leaves", Fiber.join(leaving))
      assert.sameMembers(finished, ["0-0", "1-0"])
      assert.lengthOf(started.entries, 2)

      const consumer = yield* Consumer.make({ ...quick, groupId, topics: [topic] })
      const rest = yield* within("the rest", Stream.runCollect(Stream.take(consumer.records, 4)))
      assert.sameMembers(Array.from(rest, ({ value }) => value), ["0-1", "0-2", "1-1", "1-2"])
    })
  )

  test(
    "an interrupted run finishes what it has in hand and commits it",
    Effect.gen(function*() {
      const topic = yield* newTopic({ partitions: 1 })
      const groupId = yield* uniqueName("group")
      const producer = yield* Producer.make()
      yield* producer.sendAll(range(5).map((number) => topic.record({ value: String(number) })))
      const handled = new Journal<string>()
      const gate = yield* makeSignal
      yield* Effect.scoped(Effect.gen(function*() {
        const consumer = yield* Consumer.make({ ...quick, groupId, topics: [topic], commitInterval: "1 hour" })
        const running = yield* Effect.forkScoped(
          consumer.run(({ value }) =>
            Effect.sync(() => handled.add(value!)).pipe(
              Effect.zipRight(value === "1" ? gate.raised("the gate") : Effect.void)
            )
          )
        )
        yield* handled.until("the second record is in hand", ({ length }) => length === 2)
        const interrupting = yield* Effect.forkScoped(Fiber.interrupt(running))
        yield* Effect.yieldNow()
        yield* gate.raise
        const exit = yield* within("the run ends", Fiber.join(interrupting))
        assert.isTrue(Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause))
      }))
      assert.deepStrictEqual(handled.entries, ["0", "1"])
      const consumer = yield* Consumer.make({ ...quick, groupId, topics: [topic] })
      const rest = yield* within("the rest", Stream.runCollect(Stream.take(consumer.records, 3)))
      assert.deepStrictEqual(Array.from(rest, ({ value }) => value), ["2", "3", "4"])
    })
  )

  test(
    "a record whose handler failed is not committed, and comes again",
    Effect.gen(function*() {
      const topic = yield* newTopic({ partitions: 1 })
      const groupId = yield* uniqueName("group")
      const producer = yield* Producer.make()
      const written = range(20).map(String)
      yield* producer.sendAll(written.map((value) => topic.record({ value })))
      const handled: Array<string> = []
      const error = yield* Effect.scoped(Effect.gen(function*() {
        const consumer = yield* Consumer.make({ ...quick, groupId, topics: [topic] })
        return yield* within(
          "the failure",
          Effect.flip(
            consumer.run(({ value }) =>
              value === "7" ? Effect.fail("it is a seven" as const) : Effect.sync(() => handled.push(value!))
            )
          )
        )
      }))
      assert.strictEqual(error, "it is a seven")
      assert.deepStrictEqual(handled, written.slice(0, 7))
      const consumer = yield* Consumer.make({ ...quick, groupId, topics: [topic] })
      const rest = yield* within("the rest", Stream.runCollect(Stream.take(consumer.records, 13)))
      assert.deepStrictEqual(Array.from(rest, ({ value }) => value), written.slice(7))
    })
  )

  test(
    "a run that is tried again on the same consumer begins with the record whose handler failed",
    Effect.gen(function*() {
      const topic = yield* newTopic({ partitions: 2 })
      const groupId = yield* uniqueName("group")
      const producer = yield* Producer.make()
      const written = range(40).map(String)
      yield* producer.sendAll(written.map((value, index) => topic.record({ partition: index % 2, value })))
      const handled = new Journal<string>()
      let failures = 0
      yield* Effect.scoped(Effect.gen(function*() {
        const consumer = yield* Consumer.make({ ...quick, groupId, topics: [topic] })
        const running = yield* Effect.forkScoped(Effect.retry(
          consumer.run(({ value }) =>
            Number(value) % 10 === 7 && failures++ % 2 === 0
              ? Effect.fail("it ends in seven")
              : Effect.sync(() => handled.add(value!))
          ),
          { times: 10 }
        ))
        yield* handled.until("all is handled", (entries) => new Set(entries).size === written.length)
        yield* Fiber.interrupt(running)
      }))
      const first = handled.entries.filter((value, index, all) => all.indexOf(value) === index)
      for (const parity of [0, 1]) {
        assert.deepStrictEqual(
          first.filter((value) => Number(value) % 2 === parity),
          written.filter((value) => Number(value) % 2 === parity)
        )
      }
    })
  )
}
