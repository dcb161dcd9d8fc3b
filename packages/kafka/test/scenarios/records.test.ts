/** What is sent of a record, and how often. */
import { assert, describe, it } from "@effect/vitest"
import * as Producer from "@sluice/kafka/Producer"
import * as Serde from "@sluice/kafka/Serde"
import * as Topic from "@sluice/kafka/Topic"
import * as Fault from "@sluice/testing/Fault"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Clock, Effect, Schema } from "effect"

import { line, values } from "../producer/lines.ts"
import { Wires, written } from "../producer/wire.ts"
import { outcome, play } from "./story.ts"

const Counted = Topic.make("lines", {
  key: Serde.string,
  value: Serde.json(Schema.Struct({ n: Schema.Number }))
})

describe("a record", () => {
  it("CL-6: whose object is used again and changed was sent as it was when it was handed over", () => {
    play(Effect.gen(function*() {
      const producer = yield* Producer.make({ linger: "1 second" })
      const value = { n: 0 }
      const headers = [{ key: "n", value: new Uint8Array([0]) }]
      const record = Counted.record({ value, headers })
      for (let n = 0; n < 5; n++) {
        value.n = n
        headers[0]!.value[0] = n
        yield* producer.enqueue(record)
      }
      value.n = 99
      headers[0]!.value[0] = 99
      headers.push({ key: "late", value: new Uint8Array([1]) })
      yield* producer.flush
      assert.deepStrictEqual(yield* values(), [0, 1, 2, 3, 4].map((n) => JSON.stringify({ n })))
      const stored = yield* Effect.flatMap(MemoryCluster, (cluster) => cluster.records("lines"))
      assert.deepStrictEqual(
        stored.map(({ headers }) => headers),
        [0, 1, 2, 3, 4].map((n) => [{ key: "n", value: new Uint8Array([n]) }])
      )
    }))
  })

  it("CL-13: that is too large fails at once, without a retry; one whose leader is being elected is sent again", () => {
    play(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const wire = yield* Wires
        yield* cluster.createTopic("lines", { config: { "max.message.bytes": "1000" } })
        const producer = yield* Producer.make()
        const start = yield* Clock.currentTimeMillis
        const error = yield* Effect.flip(producer.send(line("x".repeat(2000))))
        assert.deepStrictEqual([error._tag, outcome(error)], ["FatalError", "MessageTooLarge no"])
        assert.lengthOf(written(wire), 1)
        yield* cluster.inject(Fault.refuse({ api: "Produce", times: 3 }, "LeaderNotAvailable"))
        assert.strictEqual((yield* producer.send(line("elected"))).offset, 0n)
        const attempts = written(wire).slice(1)
        assert.lengthOf(attempts, 4)
        assert.strictEqual(new Set(attempts.map(({ epoch, sequence }) => `${epoch} ${sequence}`)).size, 1)
        assert.isAtLeast((yield* Clock.currentTimeMillis) - start, 300)
        assert.deepStrictEqual(yield* values(), ["elected"])
      }),
      { cluster: { topics: {} } }
    )
  })
})
