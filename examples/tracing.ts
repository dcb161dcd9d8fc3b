/**
 * One trace from the request that sends a record to the handler that processes it. Any Effect tracer will do, such as
 * the one of `@effect/opentelemetry`; this one prints.
 */
import { Consumer, Producer, Serde, Topic } from "@sluice/kafka"
import { Console, Effect, Layer, Tracer } from "effect"

import { createTopic, runExample } from "./support/cluster.ts"

/** Makes the spans that Effect makes by default, and prints each when it ends. */
const PrintingTracer = Layer.unwrapEffect(Effect.map(Effect.tracer, (native) =>
  Layer.setTracer(Tracer.make({
    context: native.context,
    span: (name, parent, ...rest) => {
      const span = native.span(name, parent, ...rest)
      const end = span.end.bind(span)
      span.end = (endTime, exit) => {
        const milliseconds = Number(endTime - span.status.startTime) / 1e6
        const from = parent._tag === "Some" ? parent.value.spanId : "nothing"
        console.log(`${span.traceId.slice(0, 6)}… ${span.spanId} from ${from}: ${name}, ${milliseconds.toFixed(1)} ms`)
        for (const [key, value] of span.attributes) console.log(`    ${key} = ${value}`)
        end(endTime, exit)
      }
      return span
    }
  }))))

const Payments = Topic.make("sluice-example-payments", { key: Serde.string, value: Serde.string })

const program = Effect.gen(function*() {
  yield* createTopic(Payments)
  const producer = yield* Producer.make()
  const consumer = yield* Consumer.make({ groupId: "sluice-example-payments", topics: [Payments] })

  yield* producer.send(Payments.record({ key: "42", value: "9.99" })).pipe(Effect.withSpan("POST /payments"))

  const processed = yield* Effect.makeLatch()
  const settle = (amount: string) => Effect.withSpan(Console.log(`settles ${amount}`), "settle")
  yield* Effect.raceFirst(
    consumer.run((payment) => Effect.zipRight(settle(payment.value), processed.open)),
    processed.await
  )
}).pipe(Effect.scoped)

runExample(Effect.provide(program, PrintingTracer))
