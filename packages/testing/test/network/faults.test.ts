import { assert, describe, it } from "@effect/vitest"
import { Fetch } from "@sluice/kafka/internal/protocol/api/fetch"
import { FindCoordinator } from "@sluice/kafka/internal/protocol/api/findCoordinator"
import { Metadata } from "@sluice/kafka/internal/protocol/api/metadata"
import { Produce } from "@sluice/kafka/internal/protocol/api/produce"
import { encodeRequest } from "@sluice/kafka/internal/protocol/codec"
import { type AnyApi, zeroUuid } from "@sluice/kafka/internal/protocol/field"
import { Effect, Exit, Fiber, Scope, TestClock } from "effect"

import { Fault } from "../../src/index.ts"
import { servedApis } from "../../src/internal/cluster/cluster.ts"
import { type Client, connect, ping } from "../support/client.ts"
import { batch, errorName, fetchRequest, joinRequest, produceRequest } from "../support/model.ts"
import { defectOf, doneAfter, inWorld, lines, type ObservedWorld, outcome, storedValues } from "./support.ts"

const produce = (value = "a", acks = -1) => produceRequest("orders", 0, batch([value]), acks)
const write = (client: Client, value = "a") => client.ask(Produce, produce(value))

/** Lets time pass while something is done that needs some. */
const passing = <A, E, R>(self: Effect.Effect<A, E, R>, time: Parameters<typeof TestClock.adjust>[0] = "1 second") =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(self)
    yield* TestClock.adjust(time)
    return yield* Fiber.join(fiber)
  })

/** Why an effect has failed after some time. */
const failureOf = <A, E, R>(self: Effect.Effect<A, E, R>) => passing(Effect.flip(self))

const coordinatorOf = (client: Client, group: string) =>
  Effect.map(
    client.ask(FindCoordinator, { coordinatorKeys: [group] }),
    (response) => response.coordinators[0]!.nodeId
  )

const leaderOf = ({ network }: ObservedWorld) => network.cluster.requireTopic("orders").partitions[0]!.leader

const kinds = (events: ReadonlyArray<string>) => events.filter((line) => line.includes("fault"))

describe("a lost request", () => {
  it.effect("is never served, nor what follows it on its connection, and nobody is told", () =>
    inWorld({}, ({ cluster, events, network }) =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const client = yield* Scope.extend(connect(), scope)
        const other = yield* connect()
        yield* cluster.inject(Fault.loseRequest({ api: "Produce", nth: 2 }))
        yield* write(client, "first")
        const both = Effect.all([write(client, "second"), ping(client)], { concurrency: 2 })
        assert.strictEqual(yield* outcome(both), "pending")
        yield* write(other, "third")
        assert.deepStrictEqual(yield* storedValues, ["first", "third"])
        assert.strictEqual(yield* cluster.connections, 2)
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual(yield* cluster.connections, 1)
        assert.lengthOf(network.linksOf({}), 1)
        assert.deepStrictEqual(kinds(lines(events)), ["0 fault 1 LoseRequest began"])
      })))

  it.effect("may be one of a broker or a client, and several in a row", () =>
    inWorld({ brokers: 2 }, ({ cluster }) =>
      Effect.gen(function*() {
        yield* cluster.inject(Fault.loseRequest({ broker: 2, client: "test", times: 2 }))
        yield* cluster.inject(Fault.loseRequest({ client: "somebody else" }))
        yield* ping(yield* connect(1))
        for (const _ of ["first", "second"]) assert.strictEqual(yield* outcome(ping(yield* connect(2))), "pending")
        yield* ping(yield* connect(2))
      })))
})

describe("a lost response", () => {
  it.effect("is of a request that was served, as is what follows it", () =>
    inWorld({ latency: 5 }, ({ cluster }) =>
      Effect.gen(function*() {
        yield* cluster.inject(Fault.loseResponse("Produce"))
        const client = yield* passing(connect())
        const before = yield* Effect.fork(ping(client))
        const both = Effect.all([write(client, "a"), write(client, "b")], { concurrency: 2 })
        assert.strictEqual(yield* outcome(both), "pending")
        assert.strictEqual((yield* Fiber.join(before)).errorCode, 0, "what was answered before arrives")
        assert.deepStrictEqual(yield* storedValues, ["a", "b"])
        assert.strictEqual(yield* doneAfter(Effect.flatMap(connect(), (other) => write(other, "c"))), 20)
      })))
})

describe("a reset", () => {
  for (const during of ["request", "response"] as const) {
    it.effect(`in the middle of a ${during} looks the same to the client`, () =>
      inWorld({ latency: 5 }, ({ cluster }) =>
        Effect.gen(function*() {
          yield* cluster.inject(Fault.reset("Produce", during))
          const client = yield* passing(connect())
          const error = yield* failureOf(write(client))
          assert.deepInclude(error, { reason: "ConnectionLost", written: true })
          assert.deepStrictEqual(yield* storedValues, during === "request" ? [] : ["a"])
          assert.strictEqual((yield* client.connection.closed).reason, "ConnectionLost")
          assert.strictEqual(yield* cluster.connections, 0)
        })))
  }

  it.effect("in the middle of a response that is parked waits for it", () =>
    inWorld({}, ({ cluster }) =>
      Effect.gen(function*() {
        yield* cluster.inject(Fault.reset("Fetch", "response"))
        const client = yield* connect()
        const poll = fetchRequest([{ topic: "orders", partition: 0, fetchOffset: 0 }], { maxWaitMs: 500 })
        const result = yield* outcome(client.ask(Fetch, poll, 12))
        assert.deepInclude(result, { time: 500 })
        assert.include(JSON.stringify(result), "ConnectionLost")
      })))
})

describe("half-open connections", () => {
  it.effect("are silent in both directions for good, and new ones work", () =>
    inWorld({ latency: 5, brokers: 2 }, ({ cluster, network }) =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const client = yield* passing(Scope.extend(connect(1), scope))
        const other = yield* passing(connect(2))
        const onTheWay = yield* Effect.fork(write(client, "lost"))
        yield* TestClock.adjust("7 millis")
        yield* cluster.inject(Fault.halfOpen({ brokers: [1] }))
        yield* cluster.heal
        assert.strictEqual(yield* outcome(write(client, "later")), "pending")
        assert.strictEqual((yield* onTheWay.poll)._tag, "None", "its response was on its way")
        yield* Fiber.interrupt(onTheWay)
        assert.strictEqual(yield* doneAfter(ping(other)), 10)
        assert.strictEqual(yield* doneAfter(Effect.flatMap(connect(1), (next) => write(next, "new"))), 20)
        assert.deepStrictEqual(yield* storedValues, ["lost", "new"])
        yield* Scope.close(scope, Exit.void)
        yield* TestClock.adjust("1 second")
        assert.lengthOf(network.linksOf({}), 2)
      })))

  it.effect("do not take hold where nothing is open", () =>
    inWorld({}, ({ cluster, events }) =>
      Effect.gen(function*() {
        yield* cluster.inject(Fault.halfOpen({}))
        assert.deepStrictEqual(kinds(lines(events)), [])
      })))
})

describe("a partition", () => {
  it.effect("holds up what is on its way, which arrives in order when it heals", () =>
    inWorld({ latency: 5 }, ({ cluster, events }) =>
      Effect.gen(function*() {
        const client = yield* passing(connect())
        const first = yield* client.send(Produce, produce("a"))
        const second = yield* client.send(Produce, produce("b"))
        yield* TestClock.adjust("2 millis")
        yield* cluster.inject(Fault.partition({}, "10 seconds"))
        const later = yield* client.send(Produce, produce("c"))
        yield* TestClock.adjust("5 seconds")
        assert.deepStrictEqual(yield* storedValues, [])
        assert.strictEqual(yield* doneAfter(Effect.all([first, second, later])), 5005)
        assert.deepStrictEqual(yield* storedValues, ["a", "b", "c"])
        assert.deepStrictEqual(kinds(lines(events)), [
          "1002 fault 1 Partition began",
          "11002 fault 1 Partition ended"
        ])
      })))

  it.effect("lets no connection through: a connect has its own timeout, or succeeds when it heals", () =>
    inWorld({ latency: 5 }, ({ cluster, network }) =>
      Effect.gen(function*() {
        yield* cluster.inject(Fault.partition({ clients: ["test"] }, "1 minute"))
        const timedOut = yield* outcome(connect(), "50 seconds")
        assert.deepInclude(timedOut, { time: 10_000 })
        assert.include(JSON.stringify(timedOut), "ConnectFailed")
        yield* TestClock.adjust("5 seconds")
        assert.strictEqual(yield* doneAfter(connect()), 5005)
        assert.strictEqual(yield* cluster.connections, 1)
        assert.lengthOf(network.linksOf({}), 1)
      })))

  it.effect("is of some brokers or clients, and a connection may be in several", () =>
    inWorld({ brokers: 2 }, ({ cluster }) =>
      Effect.gen(function*() {
        const one = yield* connect(1)
        const two = yield* connect(2)
        yield* cluster.inject(Fault.partition({ brokers: [1], clients: ["test"] }, "2 seconds"))
        yield* cluster.inject(Fault.partition({ brokers: [1] }, "3 seconds"))
        yield* cluster.inject(Fault.partition({ clients: ["somebody else"] }, "1 hour"))
        assert.strictEqual(yield* doneAfter(ping(two), 0), 0)
        assert.strictEqual(yield* doneAfter(ping(one)), 3000)
      })))

  it.effect("hides also that a broker has died, until it heals", () =>
    inWorld({ brokers: 2 }, ({ cluster }) =>
      Effect.gen(function*() {
        const client = yield* connect(1)
        yield* cluster.inject(Fault.all(Fault.partition({ brokers: [1] }, "4 seconds"), Fault.crash(1, "1 second")))
        assert.strictEqual(yield* doneAfter(client.connection.closed), 4000)
      })))
})

describe("slowness", () => {
  it.effect("adds latency in each direction", () =>
    inWorld({ latency: 5 }, ({ cluster }) =>
      Effect.gen(function*() {
        const client = yield* passing(connect())
        yield* cluster.inject(Fault.slow({}, { latency: 20, duration: "1 minute" }))
        yield* cluster.inject(Fault.slow({ brokers: [1] }, { latency: 100, duration: "1 minute" }))
        assert.strictEqual(yield* doneAfter(ping(client), "5 seconds"), 250)
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(yield* doneAfter(ping(client)), 10)
      })))

  it.effect("takes time by size, one frame after the other, until it ends", () =>
    inWorld({}, ({ cluster, network }) =>
      Effect.gen(function*() {
        const client = yield* connect()
        yield* cluster.inject(Fault.slow({}, { bytesPerSecond: 100, duration: "1 minute" }))
        const bytes = encodeRequest(Produce, 12, produce()).reduce((sum, part) => sum + part.length, 0)
        const first = yield* client.send(Produce, produce("a"))
        const second = yield* client.send(Produce, produce("b"))
        yield* TestClock.adjust(bytes * 10)
        assert.deepStrictEqual(yield* storedValues, [], "the header takes time too")
        yield* TestClock.adjust(300)
        assert.deepStrictEqual(yield* storedValues, ["a"])
        yield* cluster.heal
        assert.strictEqual(yield* doneAfter(Effect.all([first, second])), 0)
        assert.deepStrictEqual(yield* storedValues, ["a", "b"])
        assert.strictEqual(network.nextDeadline(), undefined)
      })))

  it.effect("by chance keeps the order, and depends on the seed alone", () => {
    const arrivals = (seed: number) =>
      Effect.gen(function*() {
        const times: Array<number> = []
        yield* inWorld({ seed, latency: 1, jitter: 50 }, ({ events }) =>
          Effect.gen(function*() {
            const client = yield* passing(connect())
            for (let count = 0; count < 20; count++) yield* client.send(Metadata, { topics: [] })
            yield* TestClock.adjust("1 second")
            const received = events.flatMap((event) => event._tag === "Received" ? event.exchange : [])
            assert.deepStrictEqual(received.map(({ id }) => id), Array.from({ length: 20 }, (_, index) => index + 1))
            for (const { receivedAt, sentAt } of received) times.push(receivedAt! - sentAt)
          }))
        return times
      })
    return Effect.gen(function*() {
      const times = yield* arrivals(1)
      assert.isTrue(times.every((time) => time >= 2 && time <= 102), times.join(" "))
      assert.isAbove(new Set(times).size, 1)
      assert.deepStrictEqual(yield* arrivals(1), times)
      assert.notDeepEqual(yield* arrivals(2), times)
    })
  })
})

describe("a throttle", () => {
  it.effect("is told in the response, and nothing of the connection is read for as long", () =>
    inWorld({}, ({ cluster }) =>
      Effect.gen(function*() {
        const client = yield* connect()
        yield* cluster.inject(Fault.throttle("Produce", "3 seconds"))
        const { throttleTimeMs } = yield* write(client)
        assert.strictEqual(throttleTimeMs, 3000)
        yield* ping(yield* connect())
        assert.strictEqual(yield* doneAfter(ping(client)), 3000)
        assert.strictEqual((yield* write(client)).throttleTimeMs, 0)
      })))

  it.effect("ends when the cluster heals", () =>
    inWorld({}, ({ cluster }) =>
      Effect.gen(function*() {
        const client = yield* connect()
        yield* cluster.inject(Fault.throttle("Produce", "3 seconds"))
        yield* write(client)
        const waiting = yield* Effect.fork(ping(client))
        yield* TestClock.adjust("1 second")
        assert.strictEqual((yield* waiting.poll)._tag, "None")
        yield* cluster.heal
        assert.strictEqual((yield* Fiber.join(waiting)).errorCode, 0)
      })))
})

describe("a refusal", () => {
  it.effect("is an error in the response, and nothing is done", () =>
    inWorld({}, ({ cluster }) =>
      Effect.gen(function*() {
        const client = yield* connect()
        yield* cluster.inject(Fault.refuse({ api: "Produce", times: 2 }, "NotEnoughReplicas"))
        for (const _ of ["first", "second"]) {
          const { responses } = yield* write(client)
          assert.strictEqual(errorName(responses[0]!.partitionResponses[0]!.errorCode), "NotEnoughReplicas")
        }
        assert.deepStrictEqual(yield* storedValues, [])
        yield* write(client)
        assert.deepStrictEqual(yield* storedValues, ["a"])
      })))

  it.effect("has its place in the responses of all APIs, in all versions", () =>
    inWorld({}, ({ cluster, events, network }) =>
      Effect.gen(function*() {
        const client = yield* connect()
        const members = [{ memberId: "m" }]
        const join = joinRequest("g", "m")
        const groups = [{ groupId: "g", topics: null }]
        const requests: Readonly<Record<string, object>> = {
          Produce: produce(),
          Fetch: {
            maxWaitMs: 0,
            minBytes: 1,
            topics: [{
              topic: "orders",
              topicId: zeroUuid,
              partitions: [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1000 }]
            }],
            forgottenTopicsData: []
          },
          ListOffsets: {
            replicaId: -1,
            isolationLevel: 0,
            topics: [{ name: "orders", partitions: [{ partitionIndex: 0, timestamp: -1 }] }],
            timeoutMs: 1000
          },
          OffsetForLeaderEpoch: { topics: [{ topic: "orders", partitions: [{ partition: 0, leaderEpoch: 0 }] }] },
          Metadata: { topics: [{ name: "orders" }] },
          OffsetCommit: {
            groupId: "g",
            memberId: "",
            topics: [{ name: "orders", partitions: [{ partitionIndex: 0, committedOffset: 1, committedMetadata: "" }] }]
          },
          OffsetFetch: { groupId: "g", topics: null, groups },
          FindCoordinator: { key: "g", coordinatorKeys: ["g"] },
          JoinGroup: join,
          Heartbeat: { groupId: "g", memberId: "m", generationId: 1 },
          LeaveGroup: { groupId: "g", members },
          DescribeGroups: { groups: ["g"] },
          SyncGroup: { groupId: "g", memberId: "m", generationId: 1, assignments: [] },
          ApiVersions: { clientSoftwareName: "test", clientSoftwareVersion: "1" },
          CreateTopics: { topics: [{ name: "more", numPartitions: 1, replicationFactor: 1 }] },
          DeleteTopics: { topicNames: ["orders"], topics: [{ name: "orders" }], timeoutMs: 1000 },
          DeleteRecords: {
            topics: [{ name: "orders", partitions: [{ partitionIndex: 0, offset: -1 }] }],
            timeoutMs: 1
          },
          CreatePartitions: {
            topics: [{ name: "orders", count: 9, assignments: null }],
            timeoutMs: 1000,
            validateOnly: false
          },
          InitProducerId: { transactionalId: null, transactionTimeoutMs: 1000 }
        }
        const clusterEvents = lines(events).length
        for (const api of servedApis) {
          for (let version = api.versions[0]; version <= api.versions[1]; version++) {
            yield* cluster.inject(Fault.refuse(api.name, "CoordinatorLoadInProgress"))
            const known = Object.keys(api.request)
            const body = Object.fromEntries(
              Object.entries(requests[api.name]!).filter(([name]) => {
                const [first, last] = known.includes(name) ? api.request[name].spec.versions : [Infinity, 0]
                return version >= first && version <= last
              })
            )
            const response = yield* client.ask<AnyApi>(api, body, version)
            assert.include(JSON.stringify(response), "\"errorCode\":14", `${api.name} ${version}`)
          }
        }
        assert.isFalse(
          lines(events).slice(clusterEvents).some((line) => /Deleted|Leader(?!Epoch)|Generation/.test(line))
        )
        assert.deepStrictEqual(network.cluster.topicNames, ["orders"])
      })))

  it.effect("of metadata is told topic by topic, beside the brokers", () =>
    inWorld({}, ({ cluster }) =>
      Effect.gen(function*() {
        const client = yield* connect()
        for (const version of [9, 13]) {
          yield* cluster.inject(Fault.refuse("Metadata", "LeaderNotAvailable"))
          const { brokers, topics } = yield* client.ask(Metadata, { topics: [{ name: "orders" }] }, version)
          assert.lengthOf(brokers, 1)
          assert.deepStrictEqual(
            topics.map(({ errorCode, name, partitions }) => ({
              error: errorName(errorCode),
              name,
              partitions
            })),
            [{ error: "LeaderNotAvailable", name: "orders", partitions: [] }]
          )
        }
      })))

  it.effect("of a request that expects no response breaks the connection", () =>
    inWorld({}, ({ cluster }) =>
      Effect.gen(function*() {
        const { connection } = yield* connect()
        yield* cluster.inject(Fault.refuse("Produce", "NotLeaderOrFollower"))
        yield* Effect.flatten(connection.send({
          apiKey: Produce.key,
          apiVersion: 9,
          headerVersion: 2,
          body: encodeRequest(Produce, 9, produce("a", 0)),
          expectResponse: false
        }))
        assert.strictEqual((yield* connection.closed).reason, "ConnectionLost")
        assert.deepStrictEqual(yield* storedValues, [])
      })))
})

describe("a crash", () => {
  it.effect("breaks connections and refuses new ones, until the broker starts again", () =>
    inWorld({ brokers: 3, latency: 5 }, ({ cluster, events }) =>
      Effect.gen(function*() {
        const client = yield* passing(connect(1))
        yield* cluster.inject(Fault.crash(1, "5 seconds"))
        assert.strictEqual(yield* doneAfter(client.connection.closed, "1 second"), 5)
        const refused = yield* outcome(connect(1), "1 second")
        assert.deepInclude(refused, { time: 10 })
        assert.include(JSON.stringify(refused), "connection refused")
        yield* TestClock.adjust("3 seconds")
        assert.strictEqual(yield* doneAfter(Effect.flatMap(connect(1), ping)), 20)
        assert.deepStrictEqual(kinds(lines(events)), ["1000 fault 1 Crash began", "6000 fault 1 Crash ended"])
      })))

  it.effect("may overlap another one: the broker starts when both are over, or when it is told to", () =>
    inWorld({ brokers: 2 }, ({ cluster }) =>
      Effect.gen(function*() {
        const isUp = Effect.map(Effect.exit(connect(1)), Exit.isSuccess)
        yield* cluster.inject(Fault.all(Fault.crash(1, "5 seconds"), Fault.crash(1, "2 seconds")))
        yield* TestClock.adjust("4 seconds")
        assert.isFalse(yield* isUp)
        yield* TestClock.adjust("1 second")
        assert.isTrue(yield* isUp)
        yield* cluster.stopBroker(1)
        yield* cluster.inject(Fault.crash(1, "1 hour"))
        assert.isFalse(yield* isUp)
        yield* cluster.inject(Fault.start(1))
        assert.isTrue(yield* isUp)
      })))
})

describe("a pause", () => {
  it.effect("lets connections and bytes in, and answers when it is over, also what nobody waits for any more", () =>
    inWorld({ brokers: 2 }, ({ cluster, events }) =>
      Effect.gen(function*() {
        const leaving = yield* Scope.make()
        const gone = yield* Scope.extend(connect(1), leaving)
        yield* cluster.inject(Fault.pause(1, "5 seconds"))
        yield* gone.send(Produce, produce("zombie"))
        yield* Scope.close(leaving, Exit.void)
        const client = yield* connect(1)
        assert.strictEqual(yield* doneAfter(write(client)), 5000)
        assert.deepStrictEqual(yield* storedValues, ["zombie", "a"])
        assert.deepStrictEqual(kinds(lines(events)), ["0 fault 1 Pause began", "5000 fault 1 Pause ended"])
      })))

  it.effect("puts the broker out when its session ends", () =>
    inWorld({ brokers: 3 }, (world) =>
      Effect.gen(function*() {
        assert.strictEqual(leaderOf(world), 1)
        yield* world.cluster.inject(Fault.pause(1))
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(leaderOf(world), 2)
        yield* world.cluster.inject(Fault.resume(1))
        assert.strictEqual(yield* doneAfter(Effect.flatMap(connect(1), ping)), 0)
      })))

  it.effect("ends with a crash, and a dead broker cannot hang", () =>
    inWorld({ brokers: 2 }, ({ cluster, events }) =>
      Effect.gen(function*() {
        yield* cluster.inject(Fault.all(Fault.pause(1), Fault.crash(1), Fault.pause(1), Fault.start(1)))
        yield* ping(yield* connect(1))
        assert.deepStrictEqual(kinds(lines(events)), [
          "0 fault 1 Pause began",
          "0 fault 2 Crash began",
          "0 fault 1 Pause ended",
          "0 fault 3 Start began",
          "0 fault 2 Crash ended"
        ])
      })))
})

describe("moves", () => {
  it.effect("make another replica lead, this one or the next", () =>
    inWorld({ brokers: 3 }, (world) =>
      Effect.gen(function*() {
        const { cluster } = world
        yield* cluster.inject(Fault.moveLeader("orders", 0))
        assert.strictEqual(leaderOf(world), 2)
        yield* cluster.inject(Fault.moveLeader("orders", 0, 1))
        assert.strictEqual(leaderOf(world), 1)
        yield* cluster.stopBroker(2)
        assert.include(yield* defectOf(cluster.inject(Fault.moveLeader("orders", 0, 2))), "in-sync replica")
        yield* cluster.stopBroker(3)
        yield* cluster.inject(Fault.moveLeader("orders", 0))
        assert.strictEqual(leaderOf(world), 1)
      })))

  it.effect("make another broker coordinate a group", () =>
    inWorld({ brokers: 3 }, ({ cluster }) =>
      Effect.gen(function*() {
        const client = yield* connect()
        const before = yield* coordinatorOf(client, "g")
        yield* cluster.inject(Fault.moveCoordinator("g"))
        const after = yield* coordinatorOf(client, "g")
        assert.notStrictEqual(after, before)
        yield* cluster.moveCoordinator("g", before)
        assert.strictEqual(yield* coordinatorOf(client, "g"), before)
      })))
})

describe("a clock that jumps", () => {
  it.effect("is the client's, if it can: the network goes on as before", () =>
    Effect.gen(function*() {
      const clock = yield* TestClock.testClock()
      const jumps: Array<number> = []
      // Not a copy: its methods need it.
      const jumping = Object.assign(Object.create(clock) as typeof clock, { jump: (by: number) => jumps.push(by) })
      yield* inWorld({ latency: 5 }, ({ cluster }) =>
        Effect.gen(function*() {
          const client = yield* passing(connect())
          yield* cluster.inject(Fault.jumpClock("-1 hour"))
          assert.deepStrictEqual(jumps, [-3_600_000])
          assert.strictEqual(yield* doneAfter(ping(client)), 10)
        })).pipe(Effect.withClock(jumping))
    }))

  it.effect("is refused where it cannot", () =>
    inWorld({}, ({ cluster }) =>
      Effect.gen(function*() {
        assert.include(yield* defectOf(cluster.inject(Fault.jumpClock("1 hour"))), "cannot jump")
      })))
})

describe("a fault that comes later", () => {
  it.effect("comes after a time, or with a request", () =>
    inWorld({ brokers: 2 }, (world) =>
      Effect.gen(function*() {
        const { cluster } = world
        const client = yield* connect(1)
        yield* cluster.inject(Fault.after("3 seconds", Fault.moveLeader("orders", 0, 2)))
        yield* cluster.inject(Fault.after({ api: "Produce", nth: 2 }, Fault.crash(1)))
        yield* write(client, "a")
        assert.deepInclude(yield* Effect.flip(write(client, "b")), { reason: "ConnectionLost" })
        assert.deepStrictEqual(yield* storedValues, ["a"], "the broker dies before it has begun with it")
        yield* cluster.startBroker(1)
        yield* cluster.setLeader("orders", 0, 1)
        yield* TestClock.adjust("2999 millis")
        assert.strictEqual(leaderOf(world), 1)
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(leaderOf(world), 2)
      })))

  it.effect("does not come where it has become impossible, or has no effect on what asked for it", () =>
    inWorld({ brokers: 2 }, ({ cluster, events }) =>
      Effect.gen(function*() {
        yield* cluster.inject(Fault.after("1 second", Fault.moveLeader("orders", 0, 2)))
        yield* cluster.inject(Fault.after("Produce", Fault.refuse("Produce", "NotLeaderOrFollower")))
        const client = yield* connect(1)
        const { responses } = yield* write(client)
        assert.strictEqual(responses[0]!.partitionResponses[0]!.errorCode, 0, "armed by it, not for it")
        yield* cluster.deleteTopic("orders")
        yield* TestClock.adjust("2 seconds")
        assert.deepStrictEqual(kinds(lines(events)), [])
      })))

  it.effect("may hit a request from several sides", () =>
    inWorld({}, ({ cluster }) =>
      Effect.gen(function*() {
        const client = yield* connect()
        yield* cluster.inject(Fault.all(Fault.refuse("Produce", "NotEnoughReplicas"), Fault.throttle("Produce", 500)))
        const { responses, throttleTimeMs } = yield* write(client)
        assert.strictEqual(throttleTimeMs, 500)
        assert.strictEqual(errorName(responses[0]!.partitionResponses[0]!.errorCode), "NotEnoughReplicas")
      })))
})

describe("heal", () => {
  it.effect("ends what lasts and disarms what waits", () =>
    inWorld({ brokers: 3 }, ({ cluster, events, network }) =>
      Effect.gen(function*() {
        const client = yield* connect(3)
        yield* cluster.inject(Fault.all(
          Fault.crash(1),
          Fault.pause(2),
          Fault.partition({ brokers: [3] }, "1 hour"),
          Fault.slow({}, { latency: "1 minute", duration: "1 hour" }),
          Fault.loseRequest("ApiVersions"),
          Fault.after("1 second", Fault.crash(3)),
          Fault.after("ApiVersions", Fault.crash(3))
        ))
        const waiting = yield* Effect.fork(ping(client))
        yield* TestClock.adjust("500 millis")
        yield* cluster.heal
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual((yield* Fiber.join(waiting)).errorCode, 0)
        for (const broker of [1, 2, 3]) yield* ping(yield* connect(broker))
        assert.lengthOf(kinds(lines(events)).filter((line) => line.endsWith("began")), 4)
        assert.lengthOf(kinds(lines(events)).filter((line) => line.endsWith("ended")), 4)
        assert.strictEqual(network.nextDeadline(), undefined)
      })))

  it.effect("leaves what was made of faults by `intercept`", () =>
    inWorld({}, ({ cluster }) =>
      Effect.gen(function*() {
        yield* cluster.intercept(() => "disconnect")
        yield* cluster.heal
        assert.strictEqual((yield* Effect.flip(ping(yield* connect()))).reason, "ConnectionLost")
      })))
})

describe("a fault that cannot be", () => {
  const refused: ReadonlyArray<[string, () => Fault.Fault, string]> = [
    ["a broker that is not there", () => Fault.crash(9), "There is no broker 9; there are 1, 2"],
    ["one of a request", () => Fault.loseRequest({ broker: 9 }), "There is no broker 9"],
    ["one of connections", () => Fault.partition({ brokers: [1, 9] }, 1), "There is no broker 9"],
    ["one of a later fault", () => Fault.after(1, Fault.all(Fault.pause(9))), "There is no broker 9"],
    ["a topic", () => Fault.moveLeader("nope", 0), "There is no topic nope"],
    ["a partition", () => Fault.moveLeader("orders", 2), "orders has no partition 2; it has 2"],
    ["a replica", () => Fault.after(1, Fault.moveLeader("orders", 0, 9)), "There is no broker 9"],
    ["a coordinator", () => Fault.moveCoordinator("g", 9), "There is no broker 9"],
    ["an unknown kind", () => ({ _tag: "Earthquake" }) as never, "There is no fault"]
  ]
  for (const [what, fault, message] of refused) {
    it.effect(`is refused when it is injected: ${what}`, () =>
      inWorld({ brokers: 2 }, ({ cluster, events }) =>
        Effect.gen(function*() {
          const defect = yield* defectOf(cluster.inject(fault()))
          assert.include(defect, message)
          assert.include(defect, "RangeError")
          assert.deepStrictEqual(kinds(lines(events)), [])
        })))
  }
})
