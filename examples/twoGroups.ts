/**
 * Two groups, each of which sees everything: the members of a group share a topic's partitions, and every group has offsets
 * of its own. Here two members of one group share the work, and another group keeps the record of it.
 */
import { Consumer, Producer, Serde, Topic } from "@sluice/kafka"
import { Console, Effect, Fiber, Layer } from "effect"

import { createTopic, runExample } from "./support/cluster.ts"

const Orders = Topic.make("sluice-example-orders", { key: Serde.string, value: Serde.string })
const orderCount = 300

const program = Effect.gen(function*() {
  yield* createTopic(Orders)
  const shipped: Array<string> = []
  const audited: Array<string> = []
  const Shipping = Consumer.layer(
    { groupId: "sluice-example-shipping", topics: [Orders] },
    (order) => Effect.sync(() => shipped.push(order.value))
  )
  const Audit = Consumer.layer(
    { groupId: "sluice-example-audit", topics: [Orders] },
    (order) => Effect.sync(() => audited.push(order.value))
  )
  // A layer is built once, however often it is named: `fresh` makes another member of it.
  const services = yield* Effect.fork(Layer.launch(Layer.mergeAll(Shipping, Layer.fresh(Shipping), Audit)))

  const producer = yield* Producer.make()
  yield* producer.sendAll(
    Array.from(
      { length: orderCount },
      (_, index) => Orders.record({ key: `customer ${index % 30}`, value: `order ${index}` })
    )
  )
  yield* Effect.repeat(Effect.sleep("5 millis"), {
    while: () => new Set(shipped).size < orderCount || audited.length < orderCount
  })
  yield* Fiber.interrupt(services)
  yield* Console.log(`${new Set(shipped).size} orders shipped, ${new Set(audited).size} audited`)
}).pipe(Effect.scoped)

runExample(program)
