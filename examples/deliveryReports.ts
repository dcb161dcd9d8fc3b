/**
 * Writes what became of each record back to where it came from. A correlation value says which invoice a report is for;
 * when the producer's layer is closed, every invoice has its status.
 */
import { Producer, Serde, Topic } from "@sluice/kafka"
import { Console, Effect } from "effect"

import { createTopic, runExample } from "./support/cluster.ts"

interface Invoice {
  readonly id: number
  readonly text: string
}

const Invoices = Topic.make("sluice-example-invoices", { key: Serde.string, value: Serde.string })

/** Stands for a table with a column for the status. */
const statusById = new Map<number, string>()

class Billing extends Producer.Tag("example/Billing")<Billing, Invoice["id"]>() {}

const BillingLive = Billing.layer({
  onDelivery: {
    handler: ({ correlation: invoiceId, ...delivery }) =>
      Effect.sync(() => {
        if (invoiceId === undefined) return
        statusById.set(
          invoiceId,
          delivery._tag === "Acknowledged"
            ? `sent, at ${delivery.metadata.partition}/${delivery.metadata.offset}`
            : `not sent: ${delivery.error.reason._tag}, persisted: ${delivery.error.persisted}`
        )
      }),
    concurrency: 4
  }
})

const sendInvoices = (invoices: ReadonlyArray<Invoice>) =>
  Effect.gen(function*() {
    const billing = yield* Billing
    for (const { id, text } of invoices) {
      statusById.set(id, "pending")
      // Waits for room only: the report tells the rest.
      yield* billing.enqueue(Invoices.record({ key: String(id), value: text }), { correlation: id })
    }
  })

const program = Effect.gen(function*() {
  yield* createTopic(Invoices)
  const invoices = Array.from({ length: 5 }, (_, index) => ({ id: 100 + index, text: `${index + 1} hours of work` }))
  yield* Effect.provide(sendInvoices(invoices), BillingLive)
  for (const [id, status] of statusById) yield* Console.log(`invoice ${id}: ${status}`)
})

runExample(program)
