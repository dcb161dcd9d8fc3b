import { assert, describe, it } from "@effect/vitest"
import { Fetch } from "@sluice/kafka/internal/protocol/api/fetch"
import { Produce } from "@sluice/kafka/internal/protocol/api/produce"
import { Effect, Exit, Scope, TestClock } from "effect"

import { Fault } from "../../src/index.ts"
import { connect } from "../support/client.ts"
import { batch, fetchRequest, produceRequest } from "../support/model.ts"
import { inWorld, lines, outcome } from "./support.ts"

const produce = produceRequest("orders", 0, batch(["a"]))
const longPoll = fetchRequest([{ topic: "orders", partition: 0, fetchOffset: 0 }], { maxWaitMs: 500 })

describe("an observer", () => {
  it.effect("is told of everything in the order of its time", () =>
    inWorld({ brokers: 2, latency: 5 }, ({ cluster, events }) =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        yield* outcome(
          Effect.gen(function*() {
            const one = yield* Scope.extend(connect(1), scope)
            yield* one.send(Fetch, longPoll, 12)
            const two = yield* Scope.extend(connect(1), scope)
            yield* two.ask(Produce, produce)
          }),
          100
        )
        yield* cluster.inject(Fault.after({ api: "Produce" }, Fault.crash(1, 50)))
        yield* outcome(Effect.flatMap(Scope.extend(connect(1), scope), (client) => client.ask(Produce, produce)), 100)
        yield* outcome(Scope.extend(connect(2), scope), 100)
        yield* Scope.close(scope, Exit.void)
        const told = lines(events).filter((line) => !/LeaderChanged|InSync|Coordinator/.test(line))
        assert.deepStrictEqual(told, [
          "10 connected 1 to 1",
          "10 sent Fetch on 1",
          "15 served Fetch 1",
          "20 connected 2 to 1",
          "20 sent Produce on 2",
          "25 served Produce 2",
          "25 answered Produce 2",
          "25 answered Fetch 1",
          "30 received Produce 2",
          "30 received Fetch 1",
          "110 connected 3 to 1",
          "110 sent Produce on 3",
          "115 fault 1 Crash began",
          "115 BrokerFenced",
          "115 disconnected 1 by broker",
          "115 disconnected 2 by broker",
          "115 disconnected 3 by broker",
          "165 fault 1 Crash ended",
          "165 BrokerUnfenced",
          "210 connected 4 to 2",
          "300 disconnected 4 by client"
        ])
        assert.deepStrictEqual(events.map(({ time }) => time), events.map(({ time }) => time).sort((a, b) => a - b))
      })))

  it.effect("sees each exchange whole", () =>
    inWorld({ latency: 5 }, ({ events }) =>
      Effect.gen(function*() {
        yield* outcome(
          Effect.gen(function*() {
            const client = yield* connect()
            yield* client.ask(Produce, produce)
          })
        )
        const exchanges = new Set(events.flatMap((event) => "exchange" in event ? event.exchange ?? [] : []))
        assert.strictEqual(exchanges.size, 1)
        const [exchange] = exchanges
        assert.deepInclude(exchange, {
          id: 1,
          connection: 1,
          broker: 1,
          client: "test",
          api: Produce,
          version: 12,
          correlationId: 0,
          sentAt: 10,
          servedAt: 15,
          answeredAt: 15,
          receivedAt: 20
        })
        assert.isAbove(exchange!.requestBytes, 0)
        assert.isAbove(exchange!.responseBytes, 0)
        const { topicData } = exchange!.request as typeof produce
        assert.strictEqual(topicData[0]!.name, "orders")
        const { responses } = exchange!.response as { responses: ReadonlyArray<{ name: string }> }
        assert.strictEqual(responses[0]!.name, "orders")
      })))

  it.effect("is told with a fault what request it took hold of, which may have no answer", () =>
    inWorld({}, ({ cluster, events }) =>
      Effect.gen(function*() {
        yield* cluster.inject(Fault.loseResponse("Produce"))
        const client = yield* connect()
        assert.strictEqual(yield* outcome(client.ask(Produce, produce)), "pending")
        const [began] = events.flatMap((event) => event._tag === "FaultBegan" ? event : [])
        assert.deepInclude(began!.exchange, { api: Produce, answeredAt: 0, receivedAt: undefined })
        yield* TestClock.adjust("1 hour")
        assert.isFalse(lines(events).some((line) => line.includes("received")))
      })))
})
