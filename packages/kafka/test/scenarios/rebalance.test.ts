/** Members that come, go, die and fall silent: what moves, and what is handled of it. */
import { assert, describe, it } from "@effect/vitest"
import type * as Consumer from "@sluice/kafka/Consumer"
import * as Fault from "@sluice/testing/Fault"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Chunk, Clock, Deferred, Effect, Exit, Fiber, Stream } from "effect"

import { Wires } from "../producer/wire.ts"
import { assertOnce, client, duplicates, everything, type Process, share, spawn, writeRounds } from "./processes.ts"
import { committed, type Line, type Lines, logged, member, range, until, write } from "./reading.ts"
import { play, playSeeds } from "./story.ts"

const topic = (partitions: number) => ({ cluster: { topics: { lines: partitions } } }) as const

const numbers = (partitions: ReadonlyArray<Consumer.TopicPartition>) =>
  partitions.map(({ partition }) => partition).sort()

const allHandled = (members: ReadonlyArray<{ readonly handled: ReadonlyArray<string> }>) =>
  members.flatMap(({ handled }) => handled)

/** Hooks that keep account of who owns what, and say what does not fit. */
const account = () => {
  const owners = new Map<number, string>()
  const wrong: Array<string> = []
  const hooks = (name: string): Partial<Consumer.ConsumerOptions<any>> => ({
    onAssigned: (partitions) =>
      Effect.sync(() => {
        for (const { partition } of partitions) {
          if (owners.has(partition)) wrong.push(`${partition} is given to ${name}, and ${owners.get(partition)} has it`)
          owners.set(partition, name)
        }
      }),
    onRevoked: (partitions) =>
      Effect.sync(() => {
        for (const { partition } of partitions) {
          if (owners.get(partition) !== name) wrong.push(`${partition} is taken from ${name}, who does not have it`)
          owners.delete(partition)
        }
      }),
    onLost: (partitions) => Effect.sync(() => wrong.push(`${name} lost ${numbers(partitions)}`))
  })
  return { owners, wrong, hooks }
}

describe("members that join and leave under load", () => {
  for (const order of ["partition", "key"] as const) {
    it(`SA-R1, CL-21: handle each record once, each partition by one member at a time, hooks in order: by ${order}`, () => {
      playSeeds(
        Effect.gen(function*() {
          const { hooks, owners, wrong } = account()
          const inOrder: Array<string> = []
          const join = (name: string) =>
            spawn(name, {
              options: hooks(name),
              run: { order, concurrency: 4 },
              work: ({ partition, value }) =>
                Effect.suspend(() => {
                  if (owners.get(partition) !== name) wrong.push(`${name} handles ${partition}/${value}`)
                  return Effect.map(Effect.sleep("20 millis"), () => {
                    inOrder.push(`${partition}/${value}`)
                  })
                })
            })
          const writing = yield* Effect.fork(writeRounds(6, 0, 200, "100 millis"))
          const members = [yield* join("a")]
          yield* Effect.sleep("4 seconds")
          members.push(yield* join("b"))
          yield* Effect.sleep("5 seconds")
          members.push(yield* join("c"))
          yield* until("shared", share(members, 6, 2))
          yield* Effect.sleep("3 seconds")
          yield* members[0]!.close
          yield* Fiber.join(writing)
          yield* until("all", () => allHandled(members).length >= 1200)
          yield* Effect.sleep("3 seconds")
          assertOnce(allHandled(members), 6, 200)
          for (const { handled } of members) assert.isAbove(handled.length, 100)
          if (order === "partition") {
            for (const partition of range(0, 6)) {
              assert.deepStrictEqual(
                inOrder.filter((each) => each.startsWith(`${partition}/`)),
                range(0, 200).map((value) => `${partition}/${value}`)
              )
            }
          }
          assert.deepStrictEqual(wrong, [])
          assert.deepStrictEqual(yield* committed(), Object.fromEntries(range(0, 6).map((each) => [each, 200])))
        }),
        topic(6),
        2
      )
    })
  }

  it("SA-R7, FM-36: thirteen of them, at random: no record is lost, and none comes twice", () => {
    for (const seed of [1, 2, 3]) {
      play(
        Effect.gen(function*() {
          // A chance that is the scenario's own.
          let state = seed
          const chance = (bound: number) => {
            state = (Math.imul(state, 1103515245) + 12345) >>> 0
            return (state >>> 8) % bound
          }
          const members: Array<Process> = []
          const stay = (name: string) =>
            Effect.gen(function*() {
              yield* Effect.sleep(chance(15_000))
              const process = yield* spawn(name, {
                options: { sessionTimeout: "20 seconds" },
                work: () => Effect.sleep(1 + chance(30))
              })
              members.push(process)
              yield* Effect.sleep(2000 + chance(15_000))
              yield* process.close
            })
          const writing = yield* Effect.fork(writeRounds(8, 0, 150, "200 millis"))
          const coming = yield* Effect.forkAll(range(0, 12).map((i) => stay(`member-${i}`)))
          yield* Effect.sleep("20 seconds")
          members.push(yield* spawn("member-12", { options: { sessionTimeout: "20 seconds" } }))
          yield* Fiber.join(coming)
          yield* Fiber.join(writing)
          yield* until("all", () => new Set(allHandled(members)).size === 1200)
          yield* Effect.sleep("2 seconds")
          assertOnce(allHandled(members), 8, 150)
          assert.isAbove(members.filter(({ handled }) => handled.length > 0).length, 6)
          assert.deepStrictEqual(yield* committed(), Object.fromEntries(range(0, 8).map((each) => [each, 150])))
        }),
        { ...topic(8), seed }
      )
    }
  })

  it("SA-R13: that are more than there are partitions wait without an error, and take over", () => {
    const { lines, within } = logged()
    play(
      within(Effect.gen(function*() {
        const members = [yield* spawn("a"), yield* spawn("b"), yield* spawn("c"), yield* spawn("d")]
        yield* until("shared", share(members, 2, 0))
        yield* Effect.sleep("20 seconds")
        yield* writeRounds(2, 0, 5)
        yield* until("all", () => allHandled(members).length === 10)
        const owned = yield* Effect.forEach(members, ({ consumer }) => consumer.assignment.get)
        assert.deepStrictEqual(owned.map(({ length }) => length).sort(), [0, 0, 1, 1])
        for (const { consumer, fiber } of members) {
          assert.deepStrictEqual(yield* consumer.health.get, { status: "stable", troubles: [] })
          assert.isNull(fiber.unsafePoll())
        }
        const idle = members.filter((_, i) => owned[i]!.length === 0)
        yield* Effect.forEach(members.filter((_, i) => owned[i]!.length > 0), ({ close }) => close)
        yield* until("taken over", share(idle, 2))
        yield* writeRounds(2, 5, 10)
        yield* until("the rest", () => allHandled(idle).length === 10)
        assertOnce(allHandled(members), 2, 10)
        assert.deepStrictEqual(lines.filter((line) => !line.startsWith("DEBUG")), [])
      })),
      topic(2)
    )
  })
})

describe("a partition that is revoked", () => {
  it("SA-R3: before it has started costs no time, and gets no stream", () => {
    play(
      Effect.gen(function*() {
        const wire = yield* Wires
        yield* writeRounds(4, 0, 3)
        const gate = yield* Deferred.make<void>()
        let asked = 0
        wire.hold = ({ api }) => api === "OffsetFetch" && asked++ === 0 ? Deferred.await(gate) : Effect.void
        const opened: Array<number> = []
        const ended: Array<number> = []
        const { provide } = yield* client("first", { requestTimeout: "30 seconds" })
        const first = yield* provide(member())
        yield* Effect.fork(Stream.runDrain(Stream.flatMap(
          first.consumer.partitions,
          ({ partition, records }) => {
            opened.push(partition)
            return Stream.ensuring(records, Effect.sync(() => ended.push(partition)))
          },
          { concurrency: "unbounded" }
        )))
        yield* until("assigned", Effect.map(first.consumer.assignment.get, ({ length }) => length === 4))
        const before = yield* Clock.currentTimeMillis
        const second = yield* spawn("second")
        yield* until("shared", share([first, second], 4, 2))
        // A heartbeat and two rounds; nothing is waited for.
        assert.isBelow((yield* Clock.currentTimeMillis) - before, 6000)
        yield* Deferred.succeed(gate, undefined)
        yield* Effect.sleep("10 seconds")
        const kept = numbers(yield* first.consumer.assignment.get)
        assert.sameMembers(opened, [...kept])
        assert.deepStrictEqual(ended, [])
        yield* first.close
        assert.sameMembers(ended, [...kept])
        yield* until("taken over", share([second], 4))
        yield* until("all", () => second.handled.length === 12)
        assertOnce(second.handled, 4, 3)
      }),
      topic(4)
    )
  })

  /** A stream that takes this long for a chunk, joined by another member; what moves, and when. */
  const slowStream = (options: Partial<Consumer.ConsumerOptions<typeof Lines>>, work: Effect.Effect<void>) =>
    Effect.gen(function*() {
      yield* writeRounds(2, 0, 10)
      const taken: Array<Line> = []
      const first = yield* member({ commitInterval: "1 hour", ...options })
      yield* Effect.fork(
        first.consumer.partitions.pipe(
          Stream.flatMap(({ records }) =>
            Stream.mapChunksEffect(records, (chunk) => {
              for (const line of chunk) taken.push(line)
              return Effect.as(work, chunk)
            }), { concurrency: "unbounded" }),
          Stream.run(first.consumer.commitSink)
        )
      )
      yield* until("begun", () => new Set(taken.map(({ partition }) => partition)).size === 2)
      const atAssignment: Array<Record<number, number>> = []
      const cluster = yield* MemoryCluster
      const before = yield* Clock.currentTimeMillis
      const second = yield* spawn("second", {
        options: {
          onAssigned: () =>
            Effect.map(Effect.provideService(committed(), MemoryCluster, cluster), (offsets) => {
              atAssignment.push(offsets)
            })
        }
      })
      yield* until("shared", share([first, second], 2))
      const took = (yield* Clock.currentTimeMillis) - before
      const moved = numbers(yield* second.consumer.assignment.get)[0]!
      return {
        first,
        second,
        moved,
        took,
        taken: () => taken.filter(({ partition }) => partition === moved).length,
        atAssignment
      }
    })

  it("SA-R4: waits until what was pulled last is committed", () => {
    playSeeds(
      Effect.gen(function*() {
        const { atAssignment, moved, second, taken } = yield* slowStream({}, Effect.sleep("7 seconds"))
        assert.strictEqual(atAssignment[0]![moved] ?? 0, taken())
        yield* write(moved, [10])
        yield* until("the next", () => second.handled.includes(`${moved}/10`))
        assert.lengthOf(second.handled, 11 - taken())
      }),
      topic(2),
      2
    )
  })

  it("SA-R4: waits no longer than `drainTimeout`, nor than half of `rebalanceTimeout`", () => {
    for (const options of [{ drainTimeout: "8 seconds" }, { rebalanceTimeout: "16 seconds" }] as const) {
      const { warnings, within } = logged()
      play(
        within(Effect.gen(function*() {
          const { moved, second, took } = yield* slowStream(options, Effect.never)
          assert.isAtLeast(took, 8000)
          assert.isAtMost(took, 14_000)
          yield* until("again", () => second.handled.length === 10)
          assert.deepStrictEqual(second.handled, range(0, 10).map((value) => `${moved}/${value}`))
          assert.isTrue(warnings().some((line) => line.includes("not drained within 8s")), warnings().join("\n"))
        })),
        topic(2)
      )
    }
  })

  it("SA-R4: with a `drainTimeout` of 0 is not waited for: what is not committed comes again", () => {
    play(
      Effect.gen(function*() {
        const { moved, second, took } = yield* slowStream({ drainTimeout: 0 }, Effect.sleep("30 seconds"))
        assert.isAtMost(took, 6000)
        yield* until("again", () => second.handled.length === 10)
        // The stream ends its work, and its commit is passed over.
        yield* Effect.sleep("40 seconds")
        assert.strictEqual((yield* committed())[moved], 10)
        assert.lengthOf(second.handled, 10)
      }),
      topic(2)
    )
  })
})

describe("partitions that are lost", () => {
  it("SA-R5: nothing of them is committed or delivered any more, and their streams end", () => {
    play(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        for (const partition of [0, 1]) for (const value of range(0, 4)) yield* write(partition, [value])
        const { provide } = yield* client("first")
        const heard: Array<string> = []
        const hear = (name: string) => (partitions: ReadonlyArray<Consumer.TopicPartition>) =>
          Effect.sync(() => heard.push(`${name} ${numbers(partitions)}`))
        const { consumer } = yield* provide(member({
          commitInterval: "1 hour",
          onRevoked: hear("revoked"),
          onLost: hear("lost")
        }))
        const given: Array<string> = []
        const ends: Array<string> = []
        let lost = false
        const afterwards: Array<string> = []
        const gate = yield* Deferred.make<void>()
        yield* Effect.fork(Stream.runDrain(Stream.flatMap(
          consumer.partitions,
          ({ partition, records }) =>
            records.pipe(
              Stream.mapChunksEffect((chunk) => {
                for (const { generation, value } of chunk) given.push(`${generation} ${partition}/${value}`)
                return lost ? Effect.succeed(chunk) : Effect.as(Deferred.await(gate), chunk)
              }),
              Stream.onEnd(Effect.sync(() => ends.push(`${partition}`)))
            ),
          { concurrency: "unbounded" }
        )))
        yield* until("the first of each", () => given.length === 2)
        yield* until(
          "all is fetched",
          Effect.map(consumer.positions.get, (all) => all.every(({ end }) => end === 4n))
        )
        const before = [...given]
        yield* cluster.intercept(({ apiName, clientId }) => {
          if (clientId === "first" && (apiName === "OffsetCommit" || apiName === "JoinGroup")) afterwards.push(apiName)
          return "deliver"
        })
        yield* cluster.inject(Fault.refuse({ api: "Heartbeat", times: 1 }, "UnknownMemberId"))
        yield* until("lost", () => heard.length > 0)
        assert.deepStrictEqual(heard, ["lost 0,1"])
        assert.deepStrictEqual(given, before)
        lost = true
        yield* Deferred.succeed(gate, undefined)
        yield* until("the streams' end", () => ends.length === 2)
        yield* until("again", () => given.length === before.length + 8)
        // What was fetched for the streams that ended is not delivered: all comes with the new generation, from the start.
        const [generation] = before[0]!.split(" ")
        assert.deepStrictEqual(given.filter((each) => each.startsWith(`${generation} `)), before)
        assert.strictEqual(afterwards[0], "JoinGroup")
        assert.notInclude(afterwards, "OffsetCommit")
        assert.deepStrictEqual(yield* committed(), {})
      }),
      topic(2)
    )
  })

  it("SA-R14: what a member sends that is fenced is refused once, and typed; others' offsets stay", () => {
    play(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        yield* writeRounds(1, 0, 10)
        const { cutOff, provide } = yield* client("zombie")
        const zombie = yield* provide(member({ sessionTimeout: "6 seconds", heartbeatInterval: "1 second" }))
        const pulled = Chunk.toReadonlyArray(yield* zombie.consumer.records.pipe(Stream.take(5), Stream.runCollect))
        yield* zombie.consumer.commit(pulled[0]!)
        yield* cutOff("20 seconds")
        const second = yield* spawn("second")
        yield* until("taken over", () => second.handled.length === 9)
        yield* until("committed", Effect.map(committed(), (offsets) => offsets[0] === 10))
        const sent: Array<string> = []
        yield* cluster.intercept(({ apiName, clientId }) => {
          if (clientId === "zombie") sent.push(apiName)
          return "deliver"
        })
        // It does not know yet: its commit waits for an answer, which is that it is too late.
        const error = yield* Effect.flip(zombie.consumer.commit(pulled))
        assert.deepStrictEqual([error._tag, error.reason._tag], ["RetriableError", "NotAssigned"])
        const beforeItJoined = sent.slice(0, sent.indexOf("JoinGroup"))
        assert.isAtMost(beforeItJoined.filter((api) => api === "OffsetCommit").length, 1)
        yield* Effect.sleep("10 seconds")
        assert.deepStrictEqual(yield* committed(), { 0: 10 })
        assert.deepStrictEqual(second.handled, range(1, 10).map((value) => `0/${value}`))
        assert.strictEqual((yield* zombie.consumer.health.get).status, "stable")
        // Still: what it was given before belongs to nobody now.
        assert.strictEqual((yield* Effect.flip(zombie.consumer.commit(pulled[4]!))).reason._tag, "NotAssigned")
        assert.deepStrictEqual(yield* committed(), { 0: 10 })
      }),
      topic(1)
    )
  })

  it("SA-R15: and come back: what is done of the time before counts no more, whoever does it", () => {
    for (const order of ["partition", "key"] as const) {
      play(
        Effect.gen(function*() {
          const cluster = yield* MemoryCluster
          yield* writeRounds(1, 0, 3)
          const gate = yield* Deferred.make<void>()
          const ends: Array<string> = []
          let first = true
          const { begun, consumer } = yield* spawn("a", {
            run: { order, concurrency: 2 },
            work: ({ value }) =>
              Effect.suspend(() => {
                if (value === "0" && first) {
                  first = false
                  // The work of the first ownership, which nothing can end.
                  return Effect.uninterruptible(Effect.map(Deferred.await(gate), () => {
                    ends.push("old")
                  }))
                }
                return value === "0" ? Effect.never : Effect.void
              })
          })
          const times = () => begun.filter((each) => each === "0/0").length
          yield* until("begun", () => times() === 1)
          yield* cluster.inject(Fault.refuse({ api: "Heartbeat", times: 1 }, "UnknownMemberId"))
          if (order === "partition") yield* until("again", () => times() === 2)
          else {
            // Nor does a key overlap with itself: the new ownership waits for it.
            yield* Effect.sleep("30 seconds")
            assert.strictEqual(times(), 1)
          }
          yield* Deferred.succeed(gate, undefined)
          yield* until("again", () => times() === 2)
          yield* until("the old one's end", () => ends.length === 1)
          yield* Effect.sleep("10 seconds")
          // The new one is at work on the record: it is not committed, and not handled once more.
          assert.deepStrictEqual(yield* committed(), {})
          assert.strictEqual(times(), 2)
          if (order === "partition") assert.lengthOf(begun, 2)
          assert.deepStrictEqual(numbers(yield* consumer.assignment.get), [0])
        }),
        topic(1)
      )
    }
  })
})

describe("a rebalance", () => {
  for (const assignor of ["cooperative-sticky", "range"] as const) {
    it(`SA-R10: during commits has them tried again, unnoticed: ${assignor}`, () => {
      playSeeds(
        Effect.gen(function*() {
          const cluster = yield* MemoryCluster
          const writing = yield* Effect.fork(writeRounds(4, 0, 100, "100 millis"))
          const { provide } = yield* client("first")
          const first = yield* provide(member({ assignor }))
          const handled: Array<string> = []
          const failures: Array<string> = []
          yield* Effect.fork(Stream.runForEach(first.consumer.records, (line) =>
            first.consumer.commit(line).pipe(
              Effect.tap(() => {
                handled.push(`${line.partition}/${line.value}`)
              }),
              Effect.catchAll((error) => Effect.sync(() => failures.push(error.reason._tag)))
            )))
          yield* until("commits", () => handled.length > 20)
          yield* cluster.inject(Fault.refuse({ api: "OffsetCommit", times: 3 }, "RebalanceInProgress"))
          const second = yield* spawn("second", { options: { assignor } })
          yield* until("shared", share([first, second], 4, 2))
          const third = yield* spawn("third", { options: { assignor } })
          yield* until("shared", share([first, second, third], 4))
          yield* Fiber.join(writing)
          const all = () => [...handled, ...second.handled, ...third.handled]
          yield* until("all", () => new Set(all()).size === 400)
          // Each is committed by whoever has it, so none comes twice.
          assert.deepStrictEqual(failures, [])
          assertOnce(all(), 4, 100)
        }),
        topic(4),
        2
      )
    })
  }

  it("SA-R12: that a member does not come to in time puts it out; it joins again, and goes on", () => {
    playSeeds(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const options = { rebalanceTimeout: "8 seconds", sessionTimeout: "30 seconds" } as const
        const lost: Array<string> = []
        const first = yield* spawn("first", {
          options: { ...options, onLost: (partitions) => Effect.sync(() => lost.push(numbers(partitions).join())) }
        })
        yield* writeRounds(4, 0, 5)
        yield* until("handled", () => first.handled.length === 20)
        yield* until("committed", Effect.map(committed(), (offsets) => offsets[3] === 5))
        yield* cluster.intercept(({ apiName, clientId }) =>
          clientId === "first" && apiName === "JoinGroup" ? "dropRequest" : "deliver"
        )
        const second = yield* spawn("second", { options })
        yield* until("put out", share([second], 4))
        yield* writeRounds(4, 5, 10)
        yield* until("taken over", () => second.handled.length === 20)
        yield* until("committed", Effect.map(committed(), (offsets) => offsets[3] === 10))
        yield* cluster.intercept(() => "deliver")
        yield* until("back", share([first, second], 4, 2))
        assert.deepStrictEqual(lost, ["0,1,2,3"])
        yield* writeRounds(4, 10, 15)
        yield* until("all", () => new Set(allHandled([first, second])).size === 60)
        assert.isAbove(first.handled.filter((each) => Number(each.split("/")[1]) >= 10).length, 0)
        assert.isNull(first.fiber.unsafePoll())
        // What it fetched while it was out it may have handled, too; nothing was skipped.
        assert.sameMembers(Array.from(new Set(allHandled([first, second]))), [...everything(4, 15)])
        assert.isTrue(duplicates(allHandled([first, second])).every((each) => /\/[5-9]$/.test(each)))
      }),
      topic(4),
      2
    )
  })

  it("SA-R12: is not missed for the sake of a handler that hangs", () => {
    play(
      Effect.gen(function*() {
        const lost: Array<unknown> = []
        const options = { rebalanceTimeout: "10 seconds", drainTimeout: "1 minute" } as const
        yield* writeRounds(2, 0, 1)
        const first = yield* spawn("first", {
          options: { ...options, assignor: "range", onLost: (all) => Effect.sync(() => lost.push(all)) },
          work: () => Effect.never
        })
        yield* until("begun", () => first.begun.length === 2)
        const second = yield* spawn("second", { options: { ...options, assignor: "range" } })
        yield* until("shared", share([first, second], 2))
        assert.deepStrictEqual(lost, [])
        yield* until("again", () => second.handled.length === 1)
      }),
      topic(2)
    )
  })
})

/** Where a member dies: when it sends this for the nth time, before the broker has it, or when it was done. */
const steps: ReadonlyArray<readonly [string, number]> = [
  ["JoinGroup", 1],
  ["JoinGroup", 2],
  ["SyncGroup", 1],
  ["OffsetFetch", 1],
  ["Fetch", 1],
  ["Fetch", 5],
  ["OffsetCommit", 1],
  ["OffsetCommit", 3],
  ["Heartbeat", 1],
  ["Heartbeat", 4],
  ["LeaveGroup", 1]
]

describe("a member that dies", () => {
  for (const [api, nth] of steps) {
    it(`SA-R9: at its ${api} ${nth} costs no record, and doubles none that was committed`, () => {
      for (const verdict of ["dropRequest", "dropResponse"] as const) {
        play(
          Effect.gen(function*() {
            const cluster = yield* MemoryCluster
            const survivor = yield* spawn("survivor", { options: { commitInterval: "300 millis" } })
            yield* until("alone", share([survivor], 4))
            const writing = yield* Effect.fork(writeRounds(4, 0, 120, "100 millis"))
            yield* Effect.sleep("1 second")
            let count = 0
            const victims: Array<{ alive: boolean }> = []
            let offsets: Record<number, number> = {}
            yield* cluster.intercept(({ apiName, clientId }) => {
              if (clientId !== "victim") return "deliver"
              if (victims[0]?.alive === false) return "dropRequest"
              if (apiName !== api || ++count < nth) return "deliver"
              for (const state of victims) state.alive = false
              return verdict
            })
            const spawned = yield* Effect.fork(Effect.gen(function*() {
              const { kill, provide, state } = yield* client("victim")
              victims.push(state)
              const { close, consumer } = yield* provide(
                member({ sessionTimeout: "6 seconds", heartbeatInterval: "1 second", commitInterval: "300 millis" })
              )
              const handled: Array<string> = []
              yield* Effect.forkDaemon(
                Effect.exit(consumer.run(({ partition, value }) =>
                  Effect.map(Effect.sleep("30 millis"), () => {
                    if (state.alive) handled.push(`${partition}/${value}`)
                  })
                ))
              )
              return { kill, close, handled, state }
            }))
            const victim = yield* Fiber.join(spawned)
            if (api === "LeaveGroup") {
              yield* Effect.sleep("6 seconds")
              yield* Effect.fork(victim.close)
            }
            yield* until("dead", () => !victim.state.alive)
            yield* victim.kill
            yield* Effect.sleep("1 second")
            offsets = yield* committed()
            yield* until("taken over", share([survivor], 4))
            yield* Fiber.join(writing)
            const all = () => [...survivor.handled, ...victim.handled]
            yield* until("all", () => new Set(all()).size >= 480)
            yield* Effect.sleep("3 seconds")
            assert.sameMembers(Array.from(new Set(all())), [...everything(4, 120)])
            for (const each of duplicates(all())) {
              const [partition, value] = each.split("/").map(Number) as [number, number]
              assert.include(victim.handled, each)
              assert.isAtLeast(value, offsets[partition] ?? 0)
            }
            assert.deepStrictEqual(yield* committed(), Object.fromEntries(range(0, 4).map((i) => [i, 120])))
            assert.deepStrictEqual(duplicates(survivor.handled), [])
            assert.isTrue(Exit.isSuccess(yield* Effect.exit(survivor.close)))
          }),
          topic(4)
        )
      }
    })
  }
})
