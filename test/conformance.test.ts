/** The conformance suite on Apache Kafka. */
import { assert, describe, it } from "@effect/vitest"
import { Admin, Producer, Serde, Topic } from "@sluice/kafka"
import * as Conformance from "@sluice/testing/Conformance"
import { Effect, Exit, Scope } from "effect"
import { inject } from "vitest"

import { activeResources, client } from "./support/client.ts"
import { reportDuration } from "./support/duration.ts"
import { uniqueName } from "./support/topics.ts"

reportDuration("The conformance suite on Apache Kafka")

const kafka = client(inject("kafka").brokers)

Conformance.suite("on Apache Kafka", kafka, { leftovers: activeResources })

describe("the check for what is left, over TCP", () => {
  it.live("finds the sockets of a producer that was not closed", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { leftovers } = yield* Effect.gen(function*() {
        const topic = Topic.make(uniqueName("left"), { key: Serde.string, value: Serde.string })
        yield* Admin.createTopic(topic.name)
        const producer = yield* Scope.extend(Producer.make(), scope)
        yield* producer.send(topic.record({ value: "v" }))
      }).pipe(
        Effect.orDie,
        Effect.provide(kafka),
        Conformance.nothingLeft({ leftovers: activeResources, patience: "50 millis" }),
        Effect.catchTag("FatalError", Effect.die),
        Effect.flip
      )
      yield* Scope.close(scope, Exit.void)
      assert.include(leftovers, "TCPSocketWrap")
      assert.isTrue(leftovers.some((leftover) => leftover.startsWith("fiber")))
    }))
})
