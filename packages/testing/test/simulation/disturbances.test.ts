import { assert, describe, it } from "@effect/vitest"
import { Fetch } from "@sluice/kafka/internal/protocol/api/fetch"
import { FindCoordinator } from "@sluice/kafka/internal/protocol/api/findCoordinator"
import { Heartbeat } from "@sluice/kafka/internal/protocol/api/heartbeat"
import { JoinGroup } from "@sluice/kafka/internal/protocol/api/joinGroup"
import { Metadata } from "@sluice/kafka/internal/protocol/api/metadata"
import { OffsetCommit } from "@sluice/kafka/internal/protocol/api/offsetCommit"
import { Produce } from "@sluice/kafka/internal/protocol/api/produce"
import type { AnyApi } from "@sluice/kafka/internal/protocol/field"

import { Fault } from "../../src/index.ts"
import type { Exchange } from "../../src/internal/network/event.ts"
import { Disturbances } from "../../src/internal/simulation/disturbances.ts"

const exchange = (api: AnyApi, client: string, connection: number, broker = 1): Exchange => ({
  id: 1,
  connection,
  broker,
  client,
  api,
  version: 1,
  correlationId: 1,
  requestBytes: 1,
  sentAt: 0,
  servedAt: 0,
  request: {},
  response: { errorCode: 0 },
  responseBytes: 1,
  answeredAt: 0,
  receivedAt: undefined
})

const time = 10
const began = (fault: Fault.Fault, of?: Exchange) => ({ _tag: "FaultBegan", time, id: 1, fault, exchange: of } as const)
const left = (connection: number) => ({ _tag: "Disconnected", time, connection, by: "client", message: "" } as const)

const sent = ({ api, broker, client, connection }: Exchange, at = time) =>
  ({ _tag: "Sent", time: at, connection, broker, client, apiKey: api.key }) as const

/** Members `a` and `b`; both have joined over connections to broker 1, and `a` has one to broker 2. */
const make = () => {
  const disturbances = new Disturbances(["a", "b"], { join: 13_000, heartbeat: 2000, other: 4000 })
  const joins = [exchange(JoinGroup, "a", 1), exchange(JoinGroup, "b", 2), exchange(JoinGroup, "a", 3, 2)]
  for (const each of joins) {
    disturbances.observe(sent(each))
    disturbances.observe({ _tag: "Received", time, exchange: each })
  }
  return {
    observe: (event: Parameters<Disturbances["observe"]>[0]) =>
      disturbances.observe(event).map((told) => {
        switch (told._tag) {
          case "FaultBegan":
            return `began for ${told.members?.join() ?? "all"}`
          case "SilenceBegan":
            return `silence of ${told.member}, ${told.connection}`
          case "SilenceFelt":
            return told.until === Infinity
              ? `not known on ${told.connection}`
              : `known on ${told.connection}, ${told.until}`
          case "SilenceEnded":
            return `heard ${told.connection}`
          default:
            return told._tag
        }
      })
  }
}

describe("disturbances", () => {
  it.each(
    [
      ["the clock", Fault.jumpClock(1000), undefined, ""],
      ["a leader", Fault.moveLeader("records", 0), undefined, ""],
      ["a coordinator", Fault.moveCoordinator("readers"), undefined, "all"],
      ["a request of a producer", Fault.reset("Produce", "request"), exchange(Produce, "p", 9), ""],
      ["a Fetch", Fault.loseResponse("Fetch"), exchange(Fetch, "a", 8), ""],
      ["a heartbeat", Fault.refuse("Heartbeat", "NotCoordinator"), exchange(Heartbeat, "b", 7), "b"],
      ["a producer's connections", Fault.halfOpen({ clients: ["p"] }), undefined, ""]
    ] as const
  )("of %s", (_, fault, of, members) => {
    const told = make().observe(began(fault, of))
    assert.deepStrictEqual(told, [`began for ${members}`, "FaultEnded"])
  })

  it("last as a fault does", () => {
    const { observe } = make()
    const fault = Fault.pause(1, 1000)
    assert.deepStrictEqual(observe(began(fault)), ["began for all"])
    assert.deepStrictEqual(observe({ _tag: "FaultEnded", time, id: 1, fault }), ["FaultEnded"])
  })

  it("last until a silent connection is closed by its client", () => {
    const { observe } = make()
    assert.deepStrictEqual(observe(began(Fault.halfOpen({ brokers: [1] }))), [
      "began for all",
      "FaultEnded",
      "silence of a, 1",
      "not known on 1",
      "silence of b, 2",
      "not known on 2"
    ])
    assert.deepStrictEqual(observe({ ...left(1), by: "broker" }), [])
    assert.deepStrictEqual(observe(left(1)), ["heard 1"])
    assert.deepStrictEqual(observe(left(2)), ["heard 2"])
    assert.deepStrictEqual(observe(left(2)), [])
  })

  it("are none while another broker coordinates the group", () => {
    const { observe } = make()
    const lost = exchange(JoinGroup, "a", 1)
    assert.deepStrictEqual(observe(began(Fault.loseRequest("JoinGroup"), lost)), [
      "began for a",
      "FaultEnded",
      "silence of a, 1",
      "not known on 1"
    ])
    const beat = (broker: number) =>
      observe({ _tag: "Answered", time, exchange: exchange(Heartbeat, "a", broker + 10, broker) })
    assert.deepStrictEqual(beat(1), [])
    assert.deepStrictEqual(beat(2), ["heard 1"])
    assert.deepStrictEqual(beat(1), ["silence of a, 1", "not known on 1"])
  })

  it("are known to a client when the first answer that it waits for is late", () => {
    const { observe } = make()
    observe(began(Fault.halfOpen({ clients: ["a"] })))
    assert.deepStrictEqual(observe(sent(exchange(JoinGroup, "a", 1), 100)), ["known on 1, 13100"])
    assert.deepStrictEqual(observe(sent(exchange(Heartbeat, "a", 1), 200)), ["known on 1, 2200"])
    assert.deepStrictEqual(observe(sent(exchange(Heartbeat, "a", 1), 1200)), ["known on 1, 2200"])
    assert.deepStrictEqual(observe(sent(exchange(Heartbeat, "b", 2), 200)), [])
  })

  it("are none on a connection that is not of the group, until its member asks over it who coordinates it", () => {
    const { observe } = make()
    const lookup = exchange(Metadata, "a", 4, 2)
    observe(sent(lookup))
    observe({ _tag: "Received", time, exchange: lookup })
    assert.notInclude(observe(began(Fault.halfOpen({ clients: ["a"] }))), "silence of a, 4")
    assert.deepStrictEqual(observe(sent(lookup, 50)), [])
    assert.deepStrictEqual(observe(sent(exchange(FindCoordinator, "a", 4, 2), 100)), [
      "silence of a, 4",
      "known on 4, 4050"
    ])
    assert.deepStrictEqual(observe(left(4)), ["heard 4"])
  })

  it("are known of a request that was on its way when its connection went silent", () => {
    const { observe } = make()
    observe(sent(exchange(OffsetCommit, "a", 1), 5))
    const told = observe(began(Fault.halfOpen({ clients: ["a"], brokers: [1] })))
    assert.deepStrictEqual(told.slice(2), ["silence of a, 1", "known on 1, 4005"])
  })
})
