/**
 * Sixteen handlers at a time, and each account's payments one after the other. Handlers end in any order; what is committed
 * is the end of what is done without a gap, so a crash costs no payment.
 */
import { Consumer, Producer, Serde, Topic } from "@sluice/kafka"
import { Console, Effect, Stream } from "effect"

import { createTopic, runExample } from "./support/cluster.ts"

const Payments = Topic.make("sluice-example-payments", { key: Serde.string, value: Serde.string })
const accounts = 20
const paymentsEach = 5

const program = Effect.gen(function*() {
  yield* createTopic(Payments)
  const producer = yield* Producer.make()
  yield* producer.sendAll(
    Array.from(
      { length: accounts * paymentsEach },
      (_, index) => Payments.record({ key: `account ${index % accounts}`, value: String(Math.floor(index / accounts)) })
    )
  )

  const consumer = yield* Consumer.make({ groupId: "sluice-example-ledger", topics: [Payments] })
  let atWork = 0
  let most = 0
  const booked = new Map<string, string>()
  const book = (account: string, payment: string) =>
    Effect.gen(function*() {
      most = Math.max(most, ++atWork)
      yield* Effect.sleep("10 millis")
      booked.set(account, (booked.get(account) ?? "") + payment)
      atWork--
    })

  // `process` is `run` as a stream, here to end it after so many; a service uses `run`, or `Consumer.layer`.
  yield* consumer.process(({ key, value }) => book(key ?? "nobody", value), { order: "key", concurrency: 16 }).pipe(
    Stream.take(accounts * paymentsEach),
    Stream.runDrain
  )
  const inOrder = Array.from(booked.values()).every((payments) => payments === "01234")
  yield* Console.log(`${booked.size} accounts, ${most} payments at a time, in order: ${inOrder}`)
}).pipe(Effect.scoped)

runExample(program)
