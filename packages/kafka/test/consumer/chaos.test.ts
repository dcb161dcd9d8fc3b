/** Members come, go and are cut off, brokers stop, leaders move, handlers fail: whatever happens, no record is left out. */
import { assert, describe, it } from "@effect/vitest"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Effect, Fiber, Random, TestClock } from "effect"

import { writeAll } from "./members.ts"
import { client, committed, inWorld, member, type NumberRecord, passing, passUntil, range } from "./world.ts"

const partitions = range(0, 4)
const clients = ["a", "b", "c"]

/** Numbers from a seed: the same each time. */
const randomOf = (seed: number) => {
  let state = seed * 2654435761 % 2 ** 32
  return (below: number): number => {
    state = (state * 1664525 + 1013904223) % 2 ** 32
    return Math.floor(state / 2 ** 32 * below)
  }
}

/** What was processed of each partition, by anybody, and what that shows. */
class History {
  readonly wrong: Array<string> = []
  readonly processed = partitions.map(() => new Set<number>())
  #commits = partitions.map(() => 0)

  /** All before it are processed. */
  prefix(partition: number): number {
    let prefix = 0
    while (this.processed[partition]!.has(prefix)) prefix++
    return prefix
  }

  started(who: string, { partition, value }: NumberRecord): void {
    const prefix = this.prefix(partition)
    if (Number(value) > prefix) {
      this.wrong.push(`${who} was given ${partition}/${value}, and ${prefix} is not processed`)
    }
  }

  finished({ partition, value }: NumberRecord): void {
    this.processed[partition]!.add(Number(value))
  }

  readonly checkCommits = Effect.map(committed(), (offsets) => {
    for (const [partition, offset] of Object.entries(offsets).map((entry) => entry.map(Number) as [number, number])) {
      const prefix = this.prefix(partition)
      if (offset > prefix) {
        this.wrong.push(`partition ${partition} is committed at ${offset}, and ${prefix} is not processed`)
      }
      if (offset < this.#commits[partition]!) this.wrong.push(`partition ${partition} went back to ${offset}`)
      this.#commits[partition] = offset
    }
  })
}

const simulate = (seed: number, assignor: "cooperative-sticky" | "range") =>
  Effect.gen(function*() {
    const random = randomOf(seed)
    const cluster = yield* MemoryCluster
    const history = new History()
    const kafkas = yield* Effect.forEach(clients, (id) => client(id, { requestTimeout: "3 seconds" }))
    const running: Array<
      { readonly close: Effect.Effect<void>; readonly fiber: Fiber.RuntimeFiber<unknown, unknown> }
    > = []
    const cut = new Set<string>()
    const stopped = new Set<number>()
    let written = 0
    let members = 0
    let failures = 0

    yield* cluster.intercept(({ apiName, clientId }) => {
      if (cut.has(clientId ?? "")) return "dropRequest"
      // Now and then a connection breaks.
      return clients.includes(clientId ?? "") && apiName !== "ApiVersions" && random(150) === 0
        ? "disconnect"
        : "deliver"
    })

    const join = Effect.gen(function*() {
      const at = random(clients.length)
      const who = `${clients[at]}${members++}`
      const { close, consumer } = yield* passing(Effect.provide(
        member({
          assignor,
          sessionTimeout: "6 seconds",
          heartbeatInterval: "1 second",
          rebalanceTimeout: "8 seconds",
          drainTimeout: "2 seconds",
          closeTimeout: "2 seconds",
          commitInterval: "500 millis"
        }),
        kafkas[at]!
      ))
      const handler = (record: NumberRecord) =>
        Effect.gen(function*() {
          history.started(who, record)
          const fate = random(40)
          if (fate < 4) yield* Effect.sleep(100 * (fate + 1))
          if (fate === 39 && failures++ < 10) return yield* Effect.fail("no luck")
          history.finished(record)
        })
      // One that fails while the consumer closes is not run again.
      const fiber = yield* Effect.fork(Effect.retry(consumer.run(handler), { while: (error) => error === "no luck" }))
      running.push({ close, fiber })
    })
    const leave = Effect.suspend(() => {
      const [leaving] = running.splice(random(running.length), 1)
      return leaving === undefined ? Effect.void : passing(leaving.close)
    })
    const write = Effect.suspend(() => writeAll(partitions, written, written += 1 + random(8)))
    const stop = Effect.suspend(() => {
      const id = 1 + random(3)
      if (stopped.size > 0) return Effect.void
      stopped.add(id)
      return cluster.stopBroker(id)
    })
    const start = Effect.suspend(() => {
      const ids = Array.from(stopped)
      stopped.clear()
      return Effect.forEach(ids, (id) => cluster.startBroker(id), { discard: true })
    })
    const lead = Effect.suspend(() => {
      const id = 1 + random(3)
      return stopped.has(id) ? Effect.void : cluster.setLeader("numbers", random(4), id)
    })
    const steps = [write, write, write, join, join, leave, stop, start, lead, lead]

    // Those that are cut off cannot close in good time; they come back before.
    const cutOff = Effect.sync(() => void cut.add(clients[random(3)]!))
    const reconnect = Effect.sync(() => cut.clear())

    yield* join
    for (let i = 0; i < 30; i++) {
      yield* cut.size === 0 ? steps[random(steps.length)]! : write
      if (random(8) === 0) yield* cutOff
      yield* TestClock.adjust(100 * random(30))
      if (random(4) === 0) yield* reconnect
      yield* history.checkCommits
    }
    yield* reconnect
    yield* start
    yield* join
    yield* write
    const all = (offsets: Record<number, number>) => partitions.every((partition) => offsets[partition] === written)
    yield* passUntil(`all of ${written} committed`, Effect.map(committed(), all), { step: "500 millis", steps: 240 })
    yield* history.checkCommits
    assert.deepStrictEqual(history.wrong, [])
    for (const partition of partitions) assert.strictEqual(history.prefix(partition), written)
    yield* Effect.forEach(running, ({ fiber }) => passing(Fiber.interrupt(fiber)), { discard: true })
  }).pipe(
    inWorld({ brokers: 3, topics: { numbers: 4 } }, { requestTimeout: "3 seconds" }),
    Effect.withRandom(Random.make(seed))
  )

const seeds = process.env["CHAOS_SEEDS"] === undefined
  ? range(1, 5)
  : range(...process.env["CHAOS_SEEDS"].split("-").map(Number) as [number, number])

describe("no record is left out, and no commit is past what is processed", () => {
  it.effect.each(seeds)("seed %d", (seed) => simulate(seed, seed % 3 === 0 ? "range" : "cooperative-sticky"))
})
