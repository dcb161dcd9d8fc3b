/**
 * How a service tests its own pipeline, without a broker and without waiting: in good weather, through the failure of a
 * broker, through a rebalance, and with faults drawn from many seeds. In a project these are tests; here they print what
 * they saw. `docs/testing.md` explains it.
 */
import { Consumer, type Kafka, Producer, Serde, Topic } from "@sluice/kafka"
import { Fault, MemoryCluster, Simulation } from "@sluice/testing"
import { Cause, Effect, Exit, Fiber, Logger, LogLevel, Schema } from "effect"

// ---------------------------------------------------------------------------------------------------------------------
// the service

const Order = Schema.Struct({ number: Schema.Number, pieces: Schema.Number })
const Invoice = Schema.Struct({ order: Schema.Number, cents: Schema.Number })
const Orders = Topic.make("orders", { key: Serde.string, value: Serde.json(Order) })
const Invoices = Topic.make("invoices", { key: Serde.string, value: Serde.json(Invoice) })

/** Makes an invoice of each order. An order is committed after its invoice was acknowledged: none is left out. */
const invoicing = Effect.gen(function*() {
  const producer = yield* Producer.make()
  const consumer = yield* Consumer.make({ groupId: "invoicing", topics: [Orders] })
  yield* consumer.run(({ key, value: { number, pieces } }) =>
    producer.send(Invoices.record({ key, value: { order: number, cents: pieces * 450 } }))
  )
}).pipe(Effect.scoped)

// ---------------------------------------------------------------------------------------------------------------------
// its tests

const orderCount = 200
const partitions = { [Orders.name]: 3, [Invoices.name]: 3 }

/** Half a minute of orders. */
const placeOrders = Effect.gen(function*() {
  const producer = yield* Producer.make()
  for (let number = 1; number <= orderCount; number++) {
    yield* producer.send(Orders.record({ key: `order ${number}`, value: { number, pieces: 1 + number % 5 } }))
    yield* Effect.sleep("150 millis")
  }
}).pipe(Effect.scoped)

/** Waits until the service has committed every order. */
const awaitCommitted = Effect.gen(function*() {
  const cluster = yield* MemoryCluster
  const countCommitted = Effect.map(
    cluster.committed("invoicing"),
    (offsets) => offsets.reduce((sum, { offset }) => sum + Number(offset), 0)
  )
  while ((yield* countCommitted) < orderCount) yield* Effect.sleep("1 second")
})

/** How often each order was invoiced. */
const countInvoices = Effect.gen(function*() {
  const cluster = yield* MemoryCluster
  const counts = new Map<string, number>()
  for (const { key } of yield* cluster.records(Invoices.name)) {
    const order = new TextDecoder().decode(key!)
    counts.set(order, (counts.get(order) ?? 0) + 1)
  }
  return counts
})

/** Runs the service while orders are placed and something happens; every order must have its invoice in the end. */
const trial = <E>(happens: Effect.Effect<void, E, MemoryCluster | Kafka.Kafka>, seed = 0) =>
  Effect.gen(function*() {
    const service = yield* Effect.fork(invoicing)
    const other = yield* Effect.fork(happens)
    yield* placeOrders
    yield* Fiber.join(other)
    // If the service fails, so does the trial.
    yield* Effect.raceFirst(awaitCommitted, Fiber.join(service))
    yield* Fiber.interrupt(service)

    const counts = yield* countInvoices
    const missing = orderCount - counts.size
    if (missing > 0) return yield* Effect.dieMessage(`${missing} orders have no invoice`)
    return { orders: counts.size, twice: Array.from(counts.values()).filter((count) => count > 1).length }
  }).pipe(
    Effect.provide(MemoryCluster.layer({ brokers: 3, topics: partitions, latency: "2 millis", seed })),
    // The client warns of what goes wrong, and here it is meant to.
    Logger.withMinimumLogLevel(LogLevel.Error)
  )

const inject = (fault: Fault.Fault) => Effect.flatMap(MemoryCluster, (cluster) => cluster.inject(fault))

/** A second instance takes a share of the orders for ten seconds, and leaves. */
const secondMember = Effect.gen(function*() {
  yield* Effect.sleep("5 seconds")
  const second = yield* Effect.fork(invoicing)
  yield* Effect.sleep("10 seconds")
  yield* Fiber.interrupt(second)
})

const trials = {
  "in good weather": trial(Effect.void),
  "while a broker dies for ten seconds": trial(inject(Fault.after("5 seconds", Fault.crash(1, "10 seconds")))),
  "while a second member comes and goes": trial(secondMember)
}
for (const [name, program] of Object.entries(trials)) {
  const { exit, leftovers, steps, time } = Simulation.run(program)
  if (Exit.isFailure(exit)) throw new Error(Cause.pretty(exit.cause))
  if (leftovers.length > 0) throw new Error(`left behind: ${leftovers.join(", ")}`)
  const { orders, twice } = exit.value
  console.log(`${name}: ${orders} orders invoiced, ${twice} of them twice (${time / 1000} s, ${steps} steps)`)
}

const seeds = 10
let invoicedTwice = 0
const faults = (seed: number) =>
  Fault.schedule({
    seed,
    count: 12,
    within: "1 minute",
    brokers: [1, 2, 3],
    topics: partitions,
    groups: ["invoicing"]
  })
Simulation.check({ seeds }, (seed) =>
  Effect.map(trial(inject(faults(seed)), seed), ({ twice }) => {
    invoicedTwice += twice
  }))
console.log(`with 12 faults for each of ${seeds} seeds: every order invoiced, ${invoicedTwice} of them twice`)
