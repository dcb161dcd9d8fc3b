/** Members of a group: hooks, assignors, static members. */
import { assert, describe, it } from "@effect/vitest"
import type * as Consumer from "@sluice/kafka/Consumer"
import * as Fault from "@sluice/testing/Fault"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Context, Duration, Effect, Fiber, Stream } from "effect"

import { Wires } from "../producer/wire.ts"
import { committed, type Lines, logged, member, named, range, until, write } from "./reading.ts"
import { play } from "./story.ts"

type Options = Partial<Consumer.ConsumerOptions<typeof Lines>>

const twoPartitions = { cluster: { topics: { lines: 2 } } } as const
const fourPartitions = { cluster: { topics: { lines: 4 } } } as const

const numbers = (partitions: ReadonlyArray<Consumer.TopicPartition>) =>
  partitions.map(({ partition }) => partition).sort()

/** Hooks that write down what they hear. */
const hooks = (heard: Array<string>): Options => {
  const hear = (name: string) => (partitions: ReadonlyArray<Consumer.TopicPartition>) =>
    Effect.sync(() => {
      heard.push(`${name} ${numbers(partitions).join()}`)
    })
  return { onAssigned: hear("assigned"), onRevoked: hear("revoked"), onLost: hear("lost") }
}

/** A member that runs a handler, and what it saw. */
const running = (
  options: Options = {},
  each: (line: { readonly value: string }) => Effect.Effect<void> = () => Effect.void
) =>
  Effect.gen(function*() {
    const { close, consumer } = yield* member(options)
    const seen: Array<string> = []
    yield* Effect.fork(consumer.run((line) =>
      Effect.zipRight(
        Effect.sync(() => {
          seen.push(`${line.partition}/${line.value}`)
        }),
        each(line)
      )
    ))
    return { close, consumer, seen }
  })

const stable = (...members: ReadonlyArray<{ readonly consumer: Consumer.Consumer<typeof Lines> }>) =>
  until(
    "stable",
    Effect.map(
      Effect.forEach(members, ({ consumer }) => Effect.all([consumer.health.get, consumer.assignment.get])),
      (all) => all.every(([{ status }, assignment]) => status === "stable" && assignment.length > 0)
    )
  )

/** What members have between them. */
const allOf = (...members: ReadonlyArray<{ readonly consumer: Consumer.Consumer<typeof Lines> }>) =>
  Effect.map(Effect.forEach(members, ({ consumer }) => consumer.assignment.get), (all) => all.flat())

/** Notes by which connections members join. What it gives has them join by those in vain from then on. */
const noteJoins = Effect.gen(function*() {
  const cluster = yield* MemoryCluster
  const joining = new Set<number>()
  yield* cluster.intercept(({ apiName, connectionId }) => {
    if (apiName === "JoinGroup") joining.add(connectionId)
    return "deliver"
  })
  return cluster.intercept(({ apiName, connectionId }) =>
    apiName === "JoinGroup" && joining.has(connectionId) ? "dropRequest" : "deliver"
  )
})

describe("hooks", () => {
  it("hear of what is assigned, revoked, and given up by closing", () => {
    play(
      Effect.gen(function*() {
        const heard: Array<string> = []
        const first = yield* running(hooks(heard))
        yield* stable(first)
        const second = yield* running()
        yield* until("shared", Effect.map(second.consumer.assignment.get, ({ length }) => length === 2))
        yield* first.close
        assert.strictEqual(heard.length, 3)
        assert.strictEqual(heard[0], "assigned 0,1,2,3")
        const given = numbers(yield* second.consumer.assignment.get)
        assert.strictEqual(heard[1], `revoked ${given.join()}`)
        assert.strictEqual(heard[2], `revoked ${range(0, 4).filter((each) => !given.includes(each)).join()}`)
      }),
      fourPartitions
    )
  })

  it("hear of what is lost, and nothing is committed of it", () => {
    play(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const heard: Array<string> = []
        yield* write(0, [1])
        const { consumer, seen } = yield* running({ ...hooks(heard), sessionTimeout: "10 seconds" })
        yield* until("handled", () => seen.length === 1)
        const events = yield* Effect.fork(
          consumer.events.pipe(Stream.filter(({ _tag }) => _tag === "Lost"), Stream.take(1), Stream.runCollect)
        )
        yield* cluster.intercept(({ apiName }) => apiName === "Heartbeat" ? "dropRequest" : "deliver")
        yield* Effect.sleep("20 seconds")
        yield* cluster.intercept(() => "deliver")
        yield* until("lost", () => heard.includes("lost 0,1"))
        yield* Fiber.join(events)
        yield* until("back", () => heard.length >= 3)
        assert.deepStrictEqual(heard.slice(0, 3), ["assigned 0,1", "lost 0,1", "assigned 0,1"])
      }),
      twoPartitions
    )
  })

  it("run with what their maker had, before the first record and after the last one", () => {
    class Prefix extends Context.Tag("test/Prefix")<Prefix, string>() {}
    play(
      Effect.gen(function*() {
        yield* write(0, range(0, 3))
        const order: Array<string> = []
        const say = (what: string) =>
          Effect.map(Prefix, (prefix) => {
            order.push(`${prefix} ${what}`)
          })
        const { close, consumer } = yield* member<typeof Lines>({
          onAssigned: () => Effect.zipRight(Effect.sleep("3 seconds"), say("assigned")),
          onRevoked: () => Effect.flatMap(committed(), (offsets) => say(`revoked at ${offsets[0]}`)),
          commitInterval: "1 hour"
        } as object)
        yield* Effect.fork(consumer.run(({ value }) => say(value)))
        yield* until("all", () => order.length === 4)
        yield* close
        assert.deepStrictEqual(order, ["my assigned", "my 0", "my 1", "my 2", "my revoked at 3"])
        assert.deepStrictEqual(yield* committed(), { 0: 3 })
      }).pipe(Effect.provideService(Prefix, "my")),
      { cluster: { topics: { lines: 1 } } }
    )
  })

  it("SA-B9: that fail, throw or never end are logged, and hold nobody up", () => {
    const { lines, within } = logged()
    play(
      within(Effect.gen(function*() {
        for (const partition of [0, 1]) yield* write(partition, [1])
        const options = { drainTimeout: "5 seconds", rebalanceTimeout: "20 seconds" } as const
        const first = yield* running({
          ...options,
          onAssigned: () => Effect.fail("no room"),
          onRevoked: () => {
            throw new Error("no idea")
          }
        })
        const second = yield* running({ ...options, onAssigned: () => Effect.never, onRevoked: () => Effect.never })
        yield* until("shared", Effect.map(second.consumer.assignment.get, ({ length }) => length === 1))
        yield* until("handled", () => first.seen.length + second.seen.length === 2)
        yield* first.close
        yield* until("taken over", Effect.map(second.consumer.assignment.get, ({ length }) => length === 2))
        yield* second.close
        const errors = lines.filter((line) => line.startsWith("ERROR"))
        assert.sameMembers(Array.from(new Set(errors)), [
          "ERROR group group: onAssigned failed",
          "ERROR group group: onRevoked failed",
          "ERROR group group: onAssigned did not end within 5s",
          "ERROR group group: onRevoked did not end within 5s"
        ])
      })),
      twoPartitions
    )
  })

  it("SA-R11: may commit, seek and pause, without a deadlock", () => {
    play(
      Effect.gen(function*() {
        for (const partition of range(0, 4)) yield* write(partition, range(0, 5))
        const problems: Array<unknown> = []
        const made: { consumer?: Consumer.Consumer<typeof Lines> } = {}
        let last: { readonly offset: bigint } | undefined
        const within = (what: (self: Consumer.Consumer<typeof Lines>) => Effect.Effect<unknown, unknown>) =>
          Effect.suspend(() => made.consumer === undefined ? Effect.fail("not made") : what(made.consumer)).pipe(
            Effect.catchAll((error) =>
              Effect.sync(() => {
                problems.push(error)
              })
            )
          )
        const first = yield* member({
          onAssigned: (partitions) =>
            within((self) =>
              Effect.forEach(partitions, (each) => Effect.zipRight(self.seek(each, { offset: 2 }), self.pause([each])))
            ),
          onRevoked: (partitions) =>
            within((self) =>
              Effect.zipRight(
                self.pause(partitions),
                last === undefined ? Effect.void : Effect.ignore(self.commit(last as never))
              )
            )
        })
        made.consumer = first.consumer
        yield* stable(first)
        const seen: Array<string> = []
        yield* Effect.fork(Stream.runForEach(first.consumer.records, (line) =>
          Effect.sync(() => {
            last = line
            seen.push(`${line.partition}/${line.value}`)
          })))
        yield* Effect.sleep("5 seconds")
        assert.deepStrictEqual(seen, [])
        yield* first.consumer.resume()
        yield* until("all", () => seen.length === 12)
        assert.sameMembers(seen, range(0, 4).flatMap((partition) => [2, 3, 4].map((value) => `${partition}/${value}`)))
        const second = yield* running()
        yield* until("shared", Effect.map(second.consumer.assignment.get, ({ length }) => length === 2))
        assert.deepStrictEqual(problems, [])
      }),
      fourPartitions
    )
  })
})

describe("assignors", () => {
  for (const assignor of ["cooperative-sticky", "sticky", "range", "roundrobin"] as const) {
    it(`share the partitions as members come and go: ${assignor}`, () => {
      play(
        Effect.gen(function*() {
          const members = [yield* running({ assignor }), yield* running({ assignor }), yield* running({ assignor })]
          yield* until(
            "shared",
            Effect.map(
              Effect.forEach(members, ({ consumer }) => consumer.assignment.get),
              (all) => all.flat().length === 4 && all.every(({ length }) => length > 0)
            )
          )
          const before = yield* members[0]!.consumer.assignment.get
          for (const partition of range(0, 4)) yield* write(partition, range(0, 5))
          yield* until("all", () => members.flatMap(({ seen }) => seen).length === 20)
          yield* members[2]!.close
          yield* until(
            "taken over",
            Effect.map(
              Effect.forEach(members.slice(0, 2), ({ consumer }) => consumer.assignment.get),
              (all) => all.flat().length === 4
            )
          )
          if (assignor.endsWith("sticky")) {
            assert.includeDeepMembers([...(yield* members[0]!.consumer.assignment.get)], [...before])
          }
          for (const partition of range(0, 4)) yield* write(partition, range(5, 10))
          yield* until("more", () => members.flatMap(({ seen }) => seen).length === 40)
          assert.sameMembers(
            members.flatMap(({ seen }) => seen),
            range(0, 4).flatMap((partition) => range(0, 10).map((value) => `${partition}/${value}`))
          )
        }),
        fourPartitions
      )
    })
  }

  it("go over from range to cooperative-sticky in two rolling restarts, and no record is lost or comes twice", () => {
    play(
      Effect.gen(function*() {
        const wire = yield* Wires
        const seen: Array<string> = []
        const each = (options: Options) =>
          Effect.gen(function*() {
            const started = yield* member(options)
            yield* Effect.fork(started.consumer.run((line) =>
              Effect.sync(() => {
                seen.push(`${line.partition}/${line.value}`)
              })
            ))
            return started
          })
        let written = 0
        const more = Effect.gen(function*() {
          for (const partition of range(0, 4)) yield* write(partition, range(written, written + 5))
          written += 5
        })
        const members = [yield* each({ assignor: "range" }), yield* each({ assignor: "range" })]
        yield* more
        const both: Options = { assignor: ["cooperative-sticky", "range"] }
        for (const options of [both, { assignor: "cooperative-sticky" }] satisfies ReadonlyArray<Options>) {
          for (const i of [0, 1]) {
            yield* members[i]!.close
            members[i] = yield* each(options)
            yield* more
            yield* Effect.sleep("10 seconds")
          }
        }
        yield* until("all", () => seen.length === written * 4)
        assert.sameMembers(
          seen,
          range(0, 4).flatMap((partition) => range(0, written).map((value) => `${partition}/${value}`))
        )
        const chosen = wire.requests.flatMap(({ api, body }) =>
          api === "SyncGroup" ? [(body as { readonly protocolName: string }).protocolName] : []
        )
        assert.strictEqual(chosen[0], "range")
        assert.strictEqual(chosen.at(-1), "cooperative-sticky")
      }),
      fourPartitions
    )
  })
})

describe("a static member", () => {
  it("SA-C21: comes back to its partitions without a rebalance, under another member id", () => {
    play(
      Effect.gen(function*() {
        const wire = yield* Wires
        const first = yield* running({ groupInstanceId: "a" })
        const second = yield* running({ groupInstanceId: "b" })
        yield* until("shared", Effect.map(second.consumer.assignment.get, ({ length }) => length === 1))
        yield* stable(first, second)
        yield* Effect.sleep("5 seconds")
        const before = yield* second.consumer.assignment.get
        const events: Array<string> = []
        yield* Effect.fork(Stream.runForEach(first.consumer.events, ({ _tag }) => Effect.sync(() => events.push(_tag))))
        for (const partition of [0, 1]) yield* write(partition, range(0, 3))
        yield* until("handled", () => second.seen.length === 3)
        yield* second.close
        assert.isFalse(wire.requests.some(({ api }) => api === "LeaveGroup"))
        yield* Effect.sleep("10 seconds")
        for (const partition of [0, 1]) yield* write(partition, range(3, 6))
        const again = yield* running({ groupInstanceId: "b" })
        yield* until("all", () => again.seen.length === 3)
        assert.deepStrictEqual(yield* again.consumer.assignment.get, before)
        yield* Effect.sleep("10 seconds")
        assert.notInclude(events, "Rebalancing")
        assert.deepStrictEqual(again.seen.map((each) => each.split("/")[1]), ["3", "4", "5"])
      }),
      twoPartitions
    )
  })

  it("SA-C21: that leads the group comes back too, and still sees that a topic grows", () => {
    play(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const leader = yield* running({ groupInstanceId: "a" })
        yield* stable(leader)
        const other = yield* running({ groupInstanceId: "b" })
        yield* until("shared", Effect.map(other.consumer.assignment.get, ({ length }) => length === 1))
        yield* stable(leader, other)
        yield* leader.close
        const again = yield* running({ groupInstanceId: "a" })
        yield* until("back", Effect.map(again.consumer.assignment.get, ({ length }) => length === 1))
        yield* cluster.createPartitions("lines", 6)
        yield* until(
          "grown",
          Effect.map(
            Effect.all([again.consumer.assignment.get, other.consumer.assignment.get]),
            (all) => all.flat().length === 6
          )
        )
      }),
      { ...twoPartitions, client: { metadataMaxAge: "5 seconds" } }
    )
  })

  it("that leads the group and is put out as it joins for more partitions is back, and still shares them out", () => {
    play(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const wire = yield* Wires
        const leader = yield* running({ groupInstanceId: "a" })
        yield* stable(leader)
        const other = yield* running({ groupInstanceId: "b" })
        yield* until("shared", Effect.map(other.consumer.assignment.get, ({ length }) => length === 1))
        yield* stable(leader, other)
        yield* cluster.inject(Fault.refuse("JoinGroup", "UnknownMemberId"))
        yield* cluster.createPartitions("lines", 6)
        yield* until(
          "grown",
          Effect.map(
            Effect.all([leader.consumer.assignment.get, other.consumer.assignment.get]),
            (all) => all.flat().length === 6
          )
        )
        const anew = wire.requests.filter(({ api, body }) => {
          const { groupInstanceId, memberId } = body as { readonly groupInstanceId: string; readonly memberId: string }
          return api === "JoinGroup" && groupInstanceId === "a" && memberId === ""
        })
        assert.lengthOf(anew, 2)
      }),
      { ...twoPartitions, client: { metadataMaxAge: "5 seconds" } }
    )
  })

  it("SA-C21: whose name another one takes ends with a typed error, and does not take it back", () => {
    play(
      Effect.gen(function*() {
        const heard: Array<string> = []
        const first = yield* member({ ...hooks(heard), groupInstanceId: "a" })
        const end = yield* Effect.fork(Effect.flip(first.consumer.run(() => Effect.void)))
        yield* stable(first)
        const second = yield* running({ groupInstanceId: "a" })
        const error = yield* Fiber.join(end)
        assert.deepStrictEqual([error._tag, error.reason._tag], ["FatalError", "FencedInstanceId"])
        assert.include(error.message, "another member has joined as a")
        yield* Effect.sleep("30 seconds")
        yield* write(0, [1])
        yield* until("handled", () => second.seen.length === 1)
        assert.strictEqual((yield* first.consumer.health.get).status, "failed")
        assert.strictEqual((yield* second.consumer.health.get).status, "stable")
        assert.deepStrictEqual(heard, ["assigned 0,1", "lost 0,1"])
      }),
      twoPartitions
    )
  })

  it("that missed a generation has lost its partitions, and commits nothing of what others have since", () => {
    play(
      Effect.gen(function*() {
        const heard: Array<string> = []
        const sessionTimeout = "60 seconds"
        for (const partition of [0, 1]) yield* write(partition, range(0, 3))
        const loseItsJoins = yield* noteJoins
        const first = yield* running({
          ...hooks(heard),
          sessionTimeout,
          // It tries again after 5 seconds more: when the next generation has begun, and does not wait for it any longer.
          rebalanceTimeout: "3 seconds",
          heartbeatInterval: "500 millis",
          groupInstanceId: "a",
          commitInterval: "1 hour"
        })
        yield* until("handled", () => first.seen.length === 6)
        // Its next JoinGroup is lost: the group goes on without it, and a static member is not put out for that.
        yield* loseItsJoins
        const second = yield* running({
          sessionTimeout,
          rebalanceTimeout: "5 seconds",
          commitInterval: "100 millis"
        })
        yield* until("taken", Effect.map(second.consumer.assignment.get, ({ length }) => length > 0))
        for (const partition of [0, 1]) yield* write(partition, range(3, 6))
        const taken = numbers(yield* second.consumer.assignment.get)
        yield* until("handled again", () => second.seen.length === 6 * taken.length)
        yield* until("back", () => heard.length >= 3)
        yield* stable(first, second)
        assert.include(heard, "lost 0,1")
        assert.isFalse(heard.some((each) => each.startsWith("revoked")))
        for (const partition of taken) assert.strictEqual((yield* committed())[partition], 6)
      }),
      twoPartitions
    )
  })

  it("that missed a generation keeps nothing from others that it still claimed as it came back", () => {
    play(
      Effect.gen(function*() {
        const heard: Array<string> = []
        const sessionTimeout = "60 seconds"
        const loseItsJoins = yield* noteJoins
        const first = yield* running({
          ...hooks(heard),
          sessionTimeout,
          rebalanceTimeout: "3 seconds",
          heartbeatInterval: "500 millis",
          groupInstanceId: "a"
        })
        yield* stable(first)
        yield* loseItsJoins
        const rebalanceTimeout = "5 seconds"
        const others = { sessionTimeout, rebalanceTimeout, heartbeatInterval: "500 millis" } as const
        const second = yield* running(others)
        yield* until("taken", Effect.map(second.consumer.assignment.get, ({ length }) => length === 1))
        // It joins in the same generation in which the first one is back, and is to have what that claimed.
        const third = yield* running(others)
        yield* until("back", () => heard.length >= 3)
        assert.include(heard, "lost 0,1,2")
        const all = [first, second, third]
        const [elapsed] = yield* Effect.timed(until(
          "shared",
          Effect.map(
            Effect.forEach(all, ({ consumer }) => consumer.assignment.get),
            (assignments) => assignments.every(({ length }) => length === 1)
          )
        ))
        // Before the leader has waited for it in vain.
        assert.isTrue(Duration.lessThan(elapsed, rebalanceTimeout), Duration.format(elapsed))
      }),
      { cluster: { topics: { lines: 3 } } }
    )
  })

  it("that closes while it gives up partitions to others leaves the group, or they would wait for its session", () => {
    play(
      Effect.gen(function*() {
        for (const partition of [0, 1]) yield* write(partition, [1])
        const options = { sessionTimeout: "5 minutes", rebalanceTimeout: "5 minutes" } as const
        const first = yield* running(
          { ...options, groupInstanceId: "a", drainTimeout: "20 seconds" },
          () => Effect.sleep("10 seconds")
        )
        yield* until("handled", () => first.seen.length === 2)
        const second = yield* running(options)
        yield* until("a rebalance", Effect.map(second.consumer.health.get, ({ status }) => status === "stable"))
        assert.isEmpty(yield* second.consumer.assignment.get)
        yield* first.close
        yield* until("taken over", Effect.map(second.consumer.assignment.get, ({ length }) => length === 2))
      }),
      twoPartitions
    )
  })

  it("that leads the group finds as it comes back that a topic has grown meanwhile", () => {
    play(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const leader = yield* running({ groupInstanceId: "a" })
        yield* stable(leader)
        const other = yield* running({ groupInstanceId: "b" })
        yield* until("shared", Effect.map(other.consumer.assignment.get, ({ length }) => length === 1))
        yield* stable(leader, other)
        yield* leader.close
        yield* cluster.createPartitions("lines", 6)
        yield* Effect.sleep("10 seconds")
        const again = yield* running({ groupInstanceId: "a" })
        yield* until("all", Effect.map(allOf(again, other), ({ length }) => length === 6))
      }),
      { ...twoPartitions, client: { metadataMaxAge: "5 seconds" } }
    )
  })

  it("that leads the group finds that though the first answer about the others is no good", () => {
    play(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const wire = yield* Wires
        const options = { groupInstanceId: "a", rebalanceTimeout: "20 seconds" } as const
        const leader = yield* running(options)
        yield* stable(leader)
        const other = yield* running()
        yield* until("shared", Effect.map(other.consumer.assignment.get, ({ length }) => length === 1))
        yield* stable(leader, other)
        yield* leader.close
        yield* cluster.createPartitions("lines", 6)
        yield* Effect.sleep("10 seconds")
        let asked = 0
        wire.edit = ({ api }, response) =>
          api === "DescribeGroups" && asked++ === 0 ? response.subarray(0, response.length - 20) : response
        const again = yield* running(options)
        yield* until("all", Effect.map(allOf(again, other), ({ length }) => length === 6))
        assert.strictEqual(asked, 2)
      }),
      { ...twoPartitions, client: { metadataMaxAge: "5 seconds" } }
    )
  })

  it.each(["cooperative-sticky", "sticky"] as const)(
    "that leads the group and comes back for fewer topics leaves the others to those who read them: %s",
    (assignor) => {
      play(
        Effect.gen(function*() {
          const of = (...topics: ReadonlyArray<string>) => ({ assignor, topics: topics.map(named) as any })
          const leader = yield* running({ groupInstanceId: "a", ...of("lines", "others") })
          yield* stable(leader)
          const reader = yield* running(of("others"))
          yield* stable(leader, reader)
          // What this one is given of one topic is made up for to the leader by the other one.
          const other = yield* running(of("lines"))
          yield* stable(leader, reader, other)
          yield* until("shared", Effect.map(allOf(leader, reader, other), ({ length }) => length === 8))
          yield* leader.close
          const again = yield* running({ groupInstanceId: "a", ...of("lines") })
          yield* until("all", Effect.map(allOf(again, reader, other), ({ length }) => length === 8))
        }),
        { cluster: { topics: { lines: 4, others: 4 } } }
      )
    }
  )

  describe("that is gone while it gives up partitions to others, and is back within its session, holds up nobody", () => {
    const options = { sessionTimeout: "5 minutes", rebalanceTimeout: "30 seconds" } as const
    const slow = () => Effect.sleep("10 seconds")
    /** Its last words are lost, as if its process had died. */
    const die = (member: { readonly close: Effect.Effect<void> }) =>
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        yield* cluster.intercept(({ apiName }) => /JoinGroup|LeaveGroup/.test(apiName) ? "dropRequest" : "deliver")
        yield* member.close
        yield* cluster.intercept(() => "deliver")
      })

    it("where it leads the group", () => {
      play(
        Effect.gen(function*() {
          for (const partition of [0, 1]) yield* write(partition, [1])
          const first = yield* running({ ...options, groupInstanceId: "a" }, slow)
          yield* until("handled", () => first.seen.length === 2)
          const second = yield* running(options)
          yield* until("a rebalance", Effect.map(second.consumer.health.get, ({ status }) => status === "stable"))
          assert.isEmpty(yield* second.consumer.assignment.get)
          yield* die(first)
          const again = yield* running({ ...options, groupInstanceId: "a" })
          yield* until("shared", Effect.map(second.consumer.assignment.get, ({ length }) => length === 1))
          assert.lengthOf(yield* allOf(again, second), 2)
        }),
        twoPartitions
      )
    })

    it("where another one leads the group", () => {
      play(
        Effect.gen(function*() {
          const Others = named("others")
          for (const partition of [0, 1]) yield* write(partition, [1], { topic: "others" })
          const leader = yield* running(options)
          yield* stable(leader)
          const first = yield* running({ ...options, groupInstanceId: "a", topics: [Others] as any }, slow)
          yield* until("handled", () => first.seen.length === 2)
          const second = yield* running({ ...options, topics: [Others] as any })
          yield* until("a rebalance", Effect.map(second.consumer.health.get, ({ status }) => status === "stable"))
          assert.isEmpty(yield* second.consumer.assignment.get)
          yield* die(first)
          const again = yield* running({ ...options, groupInstanceId: "a", topics: [Others] as any })
          yield* until("shared", Effect.map(second.consumer.assignment.get, ({ length }) => length === 1))
          assert.lengthOf(yield* allOf(leader, again, second), 3)
        }),
        { cluster: { topics: { lines: 1, others: 2 } } }
      )
    })
  })

  it("that does not come back loses its partitions to the others after its session", () => {
    play(
      Effect.gen(function*() {
        const first = yield* running({ sessionTimeout: "10 seconds" })
        const second = yield* running({ sessionTimeout: "10 seconds", groupInstanceId: "b" })
        yield* until("shared", Effect.map(second.consumer.assignment.get, ({ length }) => length === 1))
        yield* stable(first, second)
        yield* second.close
        assert.lengthOf(yield* first.consumer.assignment.get, 1)
        yield* until("taken over", Effect.map(first.consumer.assignment.get, ({ length }) => length === 2))
      }),
      twoPartitions
    )
  })

  it("that does not come back, and was to give up partitions, is waited for until its session ends and not longer", () => {
    play(
      Effect.gen(function*() {
        const leader = yield* running({ rebalanceTimeout: "30 seconds" })
        yield* stable(leader)
        const gone = yield* running({
          groupInstanceId: "a",
          sessionTimeout: "5 minutes",
          // The group waits for it so long, and asks for its part at the end of it: longer than the leader waits.
          rebalanceTimeout: "2 minutes"
        })
        yield* until("shared", Effect.map(gone.consumer.assignment.get, ({ length }) => length === 3))
        yield* stable(leader, gone)
        const other = yield* running({ rebalanceTimeout: "30 seconds", topics: [named("others")] as any })
        yield* stable(leader, gone, other)
        yield* gone.close
        const next = yield* running({ rebalanceTimeout: "30 seconds" })
        yield* Effect.sleep("6 minutes")
        yield* until("taken over", Effect.map(allOf(leader, next), ({ length }) => length === 6))
      }),
      { cluster: { topics: { lines: 6, others: 1 } } }
    )
  })
})

describe("a partition that is given up", () => {
  it("by a close in the middle of a rebalance is waited for once", () => {
    play(
      Effect.gen(function*() {
        for (const partition of [0, 1]) yield* write(partition, [1])
        const { close, consumer } = yield* member({
          assignor: "range",
          drainTimeout: "4 seconds",
          closeTimeout: "1 second",
          heartbeatInterval: "500 millis"
        })
        let given = 0
        yield* Effect.fork(
          Stream.runForEach(consumer.records, () => Effect.zipRight(Effect.sync(() => given++), Effect.never))
        )
        yield* until("in hand", () => given === 1)
        const closing = yield* Effect.fork(Effect.timed(close))
        yield* Effect.sleep("2 seconds")
        const other = yield* running({ assignor: "range" })
        const [elapsed] = yield* Fiber.join(closing)
        assert.isAtMost(Duration.toMillis(elapsed), 5000)
        yield* until("taken over", () => other.seen.length === 2)
      }),
      twoPartitions
    )
  })

  describe("whose commit fails when its member closes", () => {
    /** A member that closes while its revocation tries to commit, how long that takes, and the next owner. */
    const closing = (reads: "by run" | "a stream", isReachableAfter: Duration.DurationInput) =>
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        for (const partition of [0, 1]) yield* write(partition, [1])
        let isReachable = false
        yield* cluster.intercept(({ apiName }) => apiName !== "OffsetCommit" || isReachable ? "deliver" : "disconnect")
        const heard: Array<string> = []
        const { close, consumer } = yield* member({
          ...hooks(heard),
          assignor: "range",
          drainTimeout: "8 seconds",
          closeTimeout: "1 second",
          heartbeatInterval: "500 millis"
        })
        let seen = 0
        const see = Effect.sync(() => {
          seen++
        })
        yield* Effect.fork(
          reads === "by run"
            ? consumer.run(() => see)
            : consumer.records.pipe(Stream.tap(() => see), Stream.run(consumer.commitSink))
        )
        yield* until("handled", () => seen === 2)
        const second = yield* running({ assignor: "range" })
        yield* until("revoked", () => heard.length === 2)
        const closing = yield* Effect.fork(Effect.timed(close))
        yield* Effect.sleep(isReachableAfter)
        isReachable = true
        const [elapsed] = yield* Fiber.join(closing)
        assert.deepStrictEqual(heard, ["assigned 0,1", "revoked 0,1"])
        return { elapsed: Duration.toMillis(elapsed), second }
      })

    it("is waited for within the bound of the close", () => {
      play(
        Effect.gen(function*() {
          const { elapsed, second } = yield* closing("by run", "10 seconds")
          // The run commits, and the consumer does, after `onRevoked`.
          assert.isAtMost(elapsed, 2500)
          yield* until("taken over", () => second.seen.length === 2)
        }),
        twoPartitions
      )
    })

    it.each(["by run", "a stream"] as const)("is committed by the close, and does not come again: %s", (reads) => {
      play(
        Effect.gen(function*() {
          const { second } = yield* closing(reads, "500 millis")
          assert.deepStrictEqual(yield* committed(), { 0: 1, 1: 1 })
          for (const partition of [0, 1]) yield* write(partition, [2])
          yield* until("taken over", () => second.seen.length === 2)
          assert.sameMembers(second.seen, ["0/2", "1/2"])
        }),
        twoPartitions
      )
    })
  })

  it("SA-R6: gives a stream nothing more of what was fetched", () => {
    play(
      Effect.gen(function*() {
        for (const partition of [0, 1]) for (const round of range(0, 3)) yield* write(partition, [round])
        const { consumer } = yield* member({ commitInterval: "100 millis" })
        yield* until(
          "fetched",
          Effect.map(consumer.positions.get, (all) => all.length === 2 && all.every(({ end }) => end === 3n))
        )
        const seen: Array<string> = []
        yield* consumer.records.pipe(
          Stream.mapChunksEffect((chunk) =>
            Effect.gen(function*() {
              for (const { partition, value } of chunk) seen.push(`${partition}: ${value}`)
              yield* Effect.sleep("5 seconds")
              return chunk
            })
          ),
          Stream.run(consumer.commitSink),
          Effect.fork
        )
        yield* until("the first chunk", () => seen.length === 1)
        const other = yield* member()
        yield* until("shared", Effect.map(other.consumer.assignment.get, ({ length }) => length === 1))
        const [gone] = yield* other.consumer.assignment.get
        const before = seen.filter((each) => each.startsWith(`${gone!.partition}: `)).length
        yield* Effect.sleep("1 minute")
        assert.isBelow(before, 3)
        assert.lengthOf(seen.filter((each) => each.startsWith(`${gone!.partition}: `)), before)
        assert.lengthOf(seen, before + 3)
      }),
      twoPartitions
    )
  })
})
