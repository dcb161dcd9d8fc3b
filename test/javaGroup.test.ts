/** Members of ours in one group with Kafka's own consumer: whoever leads it, each has its share, and hands it over cleanly. */
import { assert, it } from "@effect/vitest"
import { Admin, Consumer, type Kafka, Producer, Serde, Topic } from "@sluice/kafka"
import * as Conformance from "@sluice/testing/Conformance"
import { Effect, ExecutionStrategy, Exit, Fiber, Scope } from "effect"
import { inject } from "vitest"

import { activeResources, client } from "./support/client.ts"
import { reportDuration } from "./support/duration.ts"
import { type JavaMember, type Reading, startJavaMember } from "./support/javaMember.ts"
import { poll } from "./support/members.ts"
import { operator } from "./support/operator.ts"
import { uniqueName } from "./support/topics.ts"

reportDuration("Groups with Kafka's own consumer")

const { brokers } = inject("kafka")
const { group } = operator(brokers.split(","))

const partitions = 4

/** One test, on a client of its own that leaves nothing behind. */
const test = (name: string, self: Effect.Effect<void, unknown, Kafka.Kafka | Scope.Scope>) =>
  it.live(name, () =>
    self.pipe(
      Effect.scoped,
      Effect.provide(client(brokers, { clientId: "ours" })),
      Conformance.nothingLeft({ leftovers: activeResources })
    ))

/** A topic that is written to all the time, and a group that reads it. */
const makeGroup = Effect.gen(function*() {
  const topic = Topic.make(uniqueName("java-group"), { key: Serde.string, value: Serde.string })
  yield* Admin.createTopic(topic.name, { partitions })
  const groupId = topic.name
  const producer = yield* Producer.make()
  let count = 0
  let isWriting = true
  const writing = yield* Effect.forkScoped(Effect.gen(function*() {
    while (isWriting) {
      yield* producer.sendAll(
        Array.from({ length: partitions }, (_, partition) => topic.record({ partition, value: `${count++}` }))
      )
      yield* Effect.sleep("5 millis")
    }
  }))

  const handled: Array<Reading> = []
  const java: Array<JavaMember> = []

  return {
    /** Joins with a member of ours; gives back what has it leave. */
    joinOurs: (assignor: ReadonlyArray<Consumer.AssignorName>) =>
      Effect.gen(function*() {
        const scope = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
        const consumer = yield* Consumer.make({
          groupId,
          topics: [topic],
          assignor,
          heartbeatInterval: "100 millis",
          fetch: { maxWait: "50 millis" }
        }).pipe(Scope.extend(scope))
        // Some are in hand whenever the group rebalances.
        yield* Effect.forkIn(
          consumer.run(({ partition, value }) =>
            Effect.zipRight(
              Effect.sleep("2 millis"),
              Effect.sync(() => handled.push({ reader: "ours", partition, value, at: performance.now() }))
            )
          ),
          scope
        )
        return Scope.close(scope, Exit.void)
      }),
    /** Joins with Kafka's console consumer. */
    joinJava: (assignors: ReadonlyArray<Consumer.AssignorName>) =>
      Effect.map(
        startJavaMember({ brokers, topic: topic.name, groupId, name: `java-${java.length}`, assignors }),
        (member) => {
          java.push(member)
          return member.leave
        }
      ),
    /** Waits until members of these names share the partitions, and until each of them has read of each of its own. */
    shares: (assignor: Consumer.AssignorName, members: Readonly<Record<string, number>>) =>
      Effect.gen(function*() {
        const state = yield* Effect.promise(() =>
          group(`${JSON.stringify(members)} share by ${assignor}`, groupId, (seen) =>
            seen.state === "Stable" && seen.assignor === assignor &&
            seen.members.size === Object.keys(members).length &&
            Object.entries(members).every(([name, count]) =>
              seen.members.get(name)?.length === count
            ))
        )
        const read = (): ReadonlySet<string> =>
          new Set([
            ...handled.slice(before.handled).map(({ partition }) =>
              `ours/${partition}`
            ),
            ...java.flatMap(({ name, printed }, index) =>
              printed.slice(before.java[index]).map(({ partition }) => `${name}/${partition}`)
            )
          ])
        const before = { handled: handled.length, java: java.map(({ printed }) => printed.length) }
        const expected = [...state.members].flatMap(([name, those]) =>
          those.map(({ partition }) => `${name}/${partition}`)
        )
        yield* poll(
          () => `each reads what it has: ${expected.join(", ")}; ${[...read()].join(", ")} were read`,
          () => expected.every((each) => read().has(each))
        )
      }),
    /** Writes no more, waits until all is read, and tells who read what again. */
    finish: Effect.gen(function*() {
      isWriting = false
      yield* Fiber.join(writing)
      const readings = () => [...handled, ...java.flatMap(({ printed }) => printed)]
      yield* poll(
        () => `all are read: ${new Set(readings().map(({ value }) => value)).size} of ${count}`,
        () => new Set(readings().map(({ value }) => value)).size >= count
      )
      const first = new Map<string, string>()
      const again: Array<string> = []
      for (const { reader, value } of readings().sort((one, other) => one.at - other.at)) {
        const before = first.get(value)
        if (before === undefined) first.set(value, reader)
        else again.push(`${before}, then ${reader}`)
      }
      return { count, again, read: [...handled, ...java.flatMap(({ printed }) => printed)].length }
    })
  }
})

for (const assignor of ["range", "roundrobin", "sticky", "cooperative-sticky"] as const) {
  test(
    `${assignor}: Java's consumer joins and leaves ours, and ours joins and leaves Java's: each has its share, nothing is skipped, and nothing of ours comes twice`,
    Effect.gen(function*() {
      const { finish, joinJava, joinOurs, shares } = yield* makeGroup
      // Ours leads.
      const leaveOurs = yield* joinOurs([assignor])
      yield* shares(assignor, { ours: 4 })
      const leaveJava = yield* joinJava([assignor])
      yield* shares(assignor, { "ours": 2, "java-0": 2 })
      yield* leaveJava
      yield* shares(assignor, { ours: 4 })
      const leaveJavaAgain = yield* joinJava([assignor])
      yield* shares(assignor, { "ours": 2, "java-1": 2 })
      // Java leads.
      yield* leaveOurs
      yield* shares(assignor, { "java-1": 4 })
      yield* joinOurs([assignor])
      yield* shares(assignor, { "ours": 2, "java-1": 2 })
      yield* leaveJavaAgain
      yield* shares(assignor, { ours: 4 })
      const { again, count, read } = yield* finish
      // With this assignor Java's consumer commits when the group begins to rebalance, goes on reading until it gives
      // partitions up, and does not commit that: between two of Java's it is the same.
      const isJavas = (each: string) => assignor === "cooperative-sticky" && each === "java-1, then ours"
      assert.deepStrictEqual(again.filter((each) => !isJavas(each)), [])
      assert.strictEqual(read - again.length, count)
    })
  )
}

test(
  "range to cooperative-sticky: a group of both goes over in two rolling restarts, and each record comes once",
  Effect.gen(function*() {
    const { finish, joinJava, joinOurs, shares } = yield* makeGroup
    const both = ["cooperative-sticky", "range"] as const
    let leaveOurs = yield* joinOurs(["range"])
    let leaveJava = yield* joinJava(["range"])
    yield* shares("range", { "ours": 2, "java-0": 2 })

    yield* leaveJava
    leaveJava = yield* joinJava(both)
    yield* shares("range", { "ours": 2, "java-1": 2 })
    yield* leaveOurs
    leaveOurs = yield* joinOurs(both)
    yield* shares("cooperative-sticky", { "ours": 2, "java-1": 2 })

    yield* leaveOurs
    leaveOurs = yield* joinOurs(["cooperative-sticky"])
    yield* shares("cooperative-sticky", { "ours": 2, "java-1": 2 })
    yield* leaveJava
    leaveJava = yield* joinJava(["cooperative-sticky"])
    yield* shares("cooperative-sticky", { "ours": 2, "java-2": 2 })
    yield* leaveJava
    yield* shares("cooperative-sticky", { ours: 4 })
    const { again, count, read } = yield* finish
    assert.deepStrictEqual(again, [])
    assert.strictEqual(read, count)
    yield* leaveOurs
  })
)
