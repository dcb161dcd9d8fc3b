import { assert, describe, it } from "@effect/vitest"
import { Serde, Topic } from "@sluice/kafka"
import { Decoding } from "@sluice/kafka/internal/consumer/decoding"
import { BatchBuilder } from "@sluice/kafka/internal/kernel/recordBatch"
import { decodeRecords } from "@sluice/kafka/internal/kernel/records"
import { Effect, Scheduler } from "effect"

/** One record whose deserializer never ends, and how many of those run. */
const hanging = () => {
  const running = { count: 0 }
  const topic = Topic.make("lines", {
    key: Serde.string,
    value: Serde.makeEffect<string>({
      serialize: () => Effect.succeed(new Uint8Array(1)),
      deserialize: () =>
        Effect.acquireUseRelease(
          Effect.sync(() => running.count++),
          () => Effect.never,
          () => Effect.sync(() => running.count--)
        )
    })
  })
  const batch = new BatchBuilder()
  batch.append(0, null, new Uint8Array(1), [])
  const [chunk] = decodeRecords(batch.close(), { fetchOffset: 0 }).chunks
  return { running, decoding: new Decoding(topic, 0, 0, chunk!) }
}

describe("records that are being decoded", () => {
  it.effect("are not begun with when they were given up before", () =>
    Effect.gen(function*() {
      const { decoding, running } = hanging()
      decoding.cancel()
      yield* decoding.start(() => {})
      yield* Effect.yieldNow()
      assert.strictEqual(running.count, 0)
      assert.lengthOf(decoding.records, 0)
    }))

  it.effect("are given up wherever the fiber that starts them is", () =>
    Effect.gen(function*() {
      for (let at = 0; at < 40; at++) {
        const { decoding, running } = hanging()
        let step = 0
        let isGivenUp = false
        const giveUp = () => {
          isGivenUp = true
          decoding.cancel()
        }
        const scheduler = Scheduler.make(
          (task, priority, fiber) => Scheduler.defaultScheduler.scheduleTask(task, priority, fiber),
          () => {
            if (step++ !== at || isGivenUp) return false
            giveUp()
            return 0
          }
        )
        yield* Effect.withScheduler(decoding.start(() => {}), scheduler)
        if (!isGivenUp) giveUp()
        for (let turn = 0; turn < 20; turn++) yield* Effect.yieldNow()
        assert.strictEqual(running.count, 0, `given up at step ${at}`)
      }
    }))
})
