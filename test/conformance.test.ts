/** The conformance suite on Apache Kafka, with the newest release and an old one. */
import { assert, describe, it } from "@effect/vitest"
import { Producer } from "@sluice/kafka"
import * as Conformance from "@sluice/testing/Conformance"
import { Effect, Exit, Scope } from "effect"
import { inject } from "vitest"

import { activeResources, client } from "./support/client.ts"
import { reportDuration } from "./support/duration.ts"

reportDuration("The conformance suite on Apache Kafka")

const kafka = client(inject("kafka").brokers)

Conformance.suite("on Apache Kafka", kafka, { leftovers: activeResources })

describe("the check for what is left, over TCP", () => {
  it.live("finds the sockets of a producer that was not closed", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { leftovers } = yield* Producer.make().pipe(
        Effect.provide(kafka),
        Scope.extend(scope),
        Conformance.nothingLeft({ leftovers: activeResources, patience: "50 millis" }),
        Effect.flip,
        // The layer's own connections are closed: those of the producer are not.
        Effect.map((error) => error as Conformance.LeftoverError)
      )
      yield* Scope.close(scope, Exit.void)
      assert.include(leftovers, "TCPSocketWrap")
      assert.isTrue(leftovers.some((leftover) => leftover.startsWith("fiber")))
    }))
})
