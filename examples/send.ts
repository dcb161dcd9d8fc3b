/** Produces records and waits for the broker: one, several at once, and one that is only waited for later. */
import { Producer, Serde, Topic } from "@sluice/kafka"
import { Console, Effect, Schema } from "effect"

import { createTopic, runExample } from "./support/cluster.ts"

const Order = Schema.Struct({ customer: Schema.String, total: Schema.Number })
const Orders = Topic.make("sluice-example-orders", { key: Serde.string, value: Serde.json(Order) })

const order = (id: number, total: number) =>
  Orders.record({ key: String(id), value: { customer: "Ada", total }, headers: [{ key: "source", value: "shop" }] })

const program = Effect.gen(function*() {
  yield* createTopic(Orders)
  const producer = yield* Producer.make()

  const { offset, partition } = yield* producer.send(order(1, 12.5))
  yield* Console.log(`order 1 is acknowledged at partition ${partition}, offset ${offset}`)

  // Batched together; the places are in the order of the records.
  const places = yield* producer.sendAll([order(2, 3), order(3, 99), order(4, 20)])
  yield* Console.log(
    `orders 2 to 4 are at ${places.map(({ offset, partition }) => `${partition}/${offset}`).join(", ")}`
  )

  // The outer effect waits until the producer has room, the inner one for the broker.
  const acknowledged = yield* producer.enqueue(order(5, 7))
  yield* Console.log("order 5 is on its way")
  const place = yield* acknowledged
  yield* Console.log(`order 5 is at ${place.partition}/${place.offset}`)
}).pipe(Effect.scoped)

runExample(program)
