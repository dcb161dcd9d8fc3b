import { assert, describe, it } from "@effect/vitest"
import { FetchBudget, type FetchReservation } from "@sluice/kafka/internal/kernel/fetchBudget"
import { FastCheck } from "effect"

const asked = (reservation: FetchReservation | null) =>
  reservation?.partitions.map(({ key, maxBytes }) => `${key}:${maxBytes}`).join(" ") ?? null

const budgetOf = (
  options: { readonly totalBytes: number; readonly partitionBytes: number },
  keys: ReadonlyArray<string>
) => {
  const budget = new FetchBudget(options)
  for (const key of keys) budget.add(key)
  return budget
}

/** What a broker sends: whole batches in the order of the request, and the first one however large it is (KIP-74). */
const serve = (
  reservation: FetchReservation,
  batchBytes: (key: string) => number
): Map<string, number> => {
  const received = new Map<string, number>()
  let room = reservation.maxBytes
  for (const { key, maxBytes } of reservation.partitions) {
    const batch = batchBytes(key)
    if (batch === 0) continue
    const fitting = Math.floor(Math.min(maxBytes, room) / batch) * batch
    const bytes = fitting === 0 && received.size === 0 ? batch : fitting
    if (bytes > 0) received.set(key, bytes)
    room -= bytes
  }
  return received
}

describe("FetchBudget", () => {
  it("asks for half a share of each partition, and for the other half while that is consumed", () => {
    const budget = budgetOf({ totalBytes: 1000, partitionBytes: 200 }, ["a", "b"])
    const keys = new Set(["a", "b"])
    const first = budget.reserve(keys)!
    assert.strictEqual(asked(first), "a:100 b:100")
    assert.strictEqual(first.maxBytes, 200)
    assert.isFalse(first.partial)
    assert.strictEqual(budget.heldBytes, 200)
    assert.isNull(budget.reserve(keys))

    budget.arrived(first, new Map([["a", 90]]))
    assert.strictEqual(budget.heldBytes, 90)
    const second = budget.reserve(keys)!
    assert.strictEqual(asked(second), "b:100 a:100")
    assert.isFalse(second.partial)

    budget.arrived(second, new Map([["a", 90]]))
    assert.strictEqual(asked(budget.reserve(keys)), "b:100")
    budget.consumed("a", 79)
    assert.isNull(budget.reserve(keys))
    budget.consumed("a", 1)
    assert.strictEqual(asked(budget.reserve(keys)), "a:100")
    assert.strictEqual(budget.heldBytes, 300)
  })

  it("serves those first that waited longest", () => {
    const budget = budgetOf({ totalBytes: 1000, partitionBytes: 100 }, ["a", "b", "c"])
    const keys = new Set(["a", "b", "c"])
    const order: Array<string | null> = []
    for (let round = 0; round < 4; round++) {
      const reservation = budget.reserve(keys)!
      order.push(reservation.partitions.map(({ key }) => key).join(""))
      const first = reservation.partitions[0]!.key
      budget.arrived(reservation, new Map([[first, 60]]))
      budget.consumed(first, 60)
    }
    assert.deepStrictEqual(order, ["abc", "bca", "cab", "abc"])
  })

  it("leaves no partition out for good where there are more of them than bytes", () => {
    const keys = ["a", "b", "c", "d", "e"]
    const budget = budgetOf({ totalBytes: 2, partitionBytes: 100 }, keys)
    const seen = new Set<string>()
    for (let round = 0; round < 5; round++) {
      const reservation = budget.reserve(new Set(keys))!
      // The first in line has no records.
      const received = serve(reservation, (key) => key === "a" ? 0 : 60)
      budget.arrived(reservation, received)
      for (const [key, bytes] of received) {
        seen.add(key)
        budget.consumed(key, bytes)
      }
    }
    assert.deepStrictEqual([...seen].sort(), ["b", "c", "d", "e"])
    assert.strictEqual(budget.heldBytes, 0)
  })

  it("divides the bound when there are many partitions", () => {
    const budget = budgetOf({ totalBytes: 600, partitionBytes: 200 }, ["a", "b", "c", "d"])
    assert.strictEqual(asked(budget.reserve(new Set(["a", "b"]))), "a:75 b:75")
    assert.strictEqual(asked(budget.reserve(new Set(["c", "d"]))), "c:75 d:75")
  })

  it("has defaults of 64 MiB and 2 MiB", () => {
    const budget = new FetchBudget()
    const keys = new Set(Array.from({ length: 128 }, (_, index) => `p${index}`))
    budget.add("p0")
    assert.strictEqual(budget.reserve(keys)!.maxBytes, 1024 * 1024)
    for (const key of keys) budget.add(key)
    assert.isAtMost(budget.reserve(keys)!.maxBytes + 1024 * 1024, 64 * 1024 * 1024)
  })

  it("takes a failed Fetch back, once", () => {
    const budget = budgetOf({ totalBytes: 1000, partitionBytes: 200 }, ["a"])
    const failed = budget.reserve(new Set(["a"]))!
    budget.arrived(failed, new Map())
    assert.strictEqual(budget.heldBytes, 0)
    const next = budget.reserve(new Set(["a"]))!
    budget.arrived(failed, new Map())
    assert.strictEqual(budget.heldBytes, 100)
    budget.arrived(next, new Map([["a", 10]]))
    assert.strictEqual(budget.heldBytes, 10)
  })

  it("counts what a removed partition still holds, under a Fetch too, and keeps it when it comes back", () => {
    const budget = budgetOf({ totalBytes: 400, partitionBytes: 200 }, ["a", "b"])
    const reservation = budget.reserve(new Set(["a"]))!
    budget.remove("a")
    assert.strictEqual(budget.heldBytes, 100)
    budget.arrived(reservation, new Map([["a", 120]]))
    assert.strictEqual(budget.heldBytes, 120)
    assert.isNull(budget.reserve(new Set(["a"])))
    budget.add("a")
    assert.isNull(budget.reserve(new Set(["a"])))
    budget.remove("a")
    budget.consumed("a", 120)
    assert.strictEqual(budget.heldBytes, 0)
    budget.add("a")
    assert.strictEqual(asked(budget.reserve(new Set(["a"]))), "a:100")
  })

  it("lets all ask for less, after batches larger than a share, and stops when the bound is reached", () => {
    const budget = budgetOf({ totalBytes: 400, partitionBytes: 100 }, ["a", "b", "c", "d"])
    const large = budget.reserve(new Set(["a"]))!
    budget.arrived(large, new Map([["a", 250]]))
    assert.strictEqual(asked(budget.reserve(new Set(["b"]))), "b:50")
    const next = budget.reserve(new Set(["c", "d"]))!
    assert.strictEqual(asked(next), "c:50 d:50")
    budget.arrived(next, new Map([["c", 250]]))
    assert.strictEqual(budget.heldBytes, 550)
    assert.isNull(budget.reserve(new Set(["d"])))
    budget.consumed("c", 250)
    assert.strictEqual(asked(budget.reserve(new Set(["c", "d"]))), "d:50 c:50")
  })

  const setting = FastCheck.record({
    brokers: FastCheck.integer({ min: 1, max: 3 }),
    partitions: FastCheck.integer({ min: 1, max: 12 }),
    totalBytes: FastCheck.integer({ min: 200, max: 2000 }),
    partitionBytes: FastCheck.integer({ min: 50, max: 400 }),
    batchBytes: FastCheck.array(FastCheck.integer({ min: 0, max: 600 }), { minLength: 12, maxLength: 12 }),
    events: FastCheck.array(
      FastCheck.record({
        kind: FastCheck.constantFrom("fetch", "fetch", "arrive", "arrive", "consume", "consume", "leave"),
        which: FastCheck.nat({ max: 11 }),
        part: FastCheck.double({ min: 0, max: 1, noNaN: true })
      }),
      { maxLength: 150 }
    )
  })

  it("holds no more than the bound, and one large batch a response", () => {
    FastCheck.assert(
      FastCheck.property(setting, FastCheck.boolean(), (given, batchesFit) => {
        const keys = Array.from({ length: given.partitions }, (_, index) => `p${index}`)
        const shareBytes = Math.floor(Math.min(given.partitionBytes, given.totalBytes / given.partitions))
        const batchBytes = (key: string) => {
          const bytes = given.batchBytes[Number(key.slice(1))]!
          return batchesFit ? bytes % (Math.floor(shareBytes / 2) + 1) : bytes
        }
        const budget = budgetOf(given, keys)
        const underway = new Map<number, FetchReservation>()
        const buffered = new Map(keys.map((key) => [key, 0]))
        const bound = given.totalBytes + (batchesFit ? 0 : given.brokers * Math.max(...given.batchBytes))
        for (const { kind, part, which } of given.events) {
          const broker = which % given.brokers
          const key = keys[which % keys.length]!
          if (kind === "fetch" && !underway.has(broker)) {
            const ofBroker = keys.filter((_, index) => index % given.brokers === broker)
            const before = budget.heldBytes
            const reservation = budget.reserve(new Set(ofBroker))
            if (reservation !== null) {
              underway.set(broker, reservation)
              assert.isAtMost(budget.heldBytes, given.totalBytes)
              assert.strictEqual(
                reservation.maxBytes,
                reservation.partitions.reduce((sum, { maxBytes }) => sum + maxBytes, 0)
              )
              assert.strictEqual(budget.heldBytes, before + reservation.maxBytes)
              for (const { key, maxBytes } of reservation.partitions) {
                assert.isAtLeast(maxBytes, 1)
                assert.isAtMost(buffered.get(key)! + maxBytes, given.partitionBytes)
                assert.include(ofBroker, key)
              }
            }
          } else if (kind === "arrive" && underway.has(broker)) {
            const received = serve(underway.get(broker)!, batchBytes)
            budget.arrived(underway.get(broker)!, received)
            underway.delete(broker)
            for (const [key, bytes] of received) buffered.set(key, buffered.get(key)! + bytes)
          } else if (kind === "consume") {
            const bytes = Math.ceil(buffered.get(key)! * part)
            buffered.set(key, buffered.get(key)! - bytes)
            budget.consumed(key, bytes)
          } else if (kind === "leave") {
            if (part < 0.5) budget.remove(key)
            else budget.add(key)
          }
          assert.isAtMost(budget.heldBytes, bound)
        }
        for (const reservation of underway.values()) budget.arrived(reservation, new Map())
        for (const [key, bytes] of buffered) budget.consumed(key, bytes)
        assert.strictEqual(budget.heldBytes, 0)
      }),
      { seed: 1, numRuns: 1000 }
    )
  })

  /** Fetches of all brokers in turn, in rounds; the number of times that each partition received records. */
  const servings = (
    given: {
      readonly brokers: number
      readonly partitions: number
      readonly totalBytes: number
      readonly partitionBytes: number
    },
    rounds: number,
    batchBytes: (key: string) => number,
    isConsumed: (key: string) => boolean
  ): Map<string, number> => {
    const keys = Array.from({ length: given.partitions }, (_, index) => `p${index}`)
    const budget = budgetOf(given, keys)
    const served = new Map(keys.map((key) => [key, 0]))
    for (let round = 0; round < rounds; round++) {
      for (let broker = 0; broker < given.brokers; broker++) {
        const reservation = budget.reserve(new Set(keys.filter((_, index) => index % given.brokers === broker)))
        if (reservation === null) continue
        const received = serve(reservation, batchBytes)
        budget.arrived(reservation, received)
        for (const [key, bytes] of received) {
          served.set(key, served.get(key)! + 1)
          if (isConsumed(key)) budget.consumed(key, bytes)
        }
      }
    }
    return served
  }

  it("starves nobody while others are never consumed", () => {
    FastCheck.assert(
      FastCheck.property(
        setting,
        FastCheck.array(FastCheck.boolean(), { minLength: 12, maxLength: 12 }),
        (given, stuck) => {
          const share = Math.floor(Math.min(given.partitionBytes, given.totalBytes / given.partitions))
          const isStuck = (key: string) => stuck[Number(key.slice(1))]!
          const served = servings(given, 10, () => Math.max(1, Math.floor(share / 3)), (key) => !isStuck(key))
          for (const [key, times] of served) if (!isStuck(key)) assert.strictEqual(times, 10)
        }
      ),
      { seed: 1, numRuns: 300 }
    )
  })

  it("starves nobody while batches are larger than shares and some partitions are empty", () => {
    FastCheck.assert(
      FastCheck.property(setting, (given) => {
        const batchBytes = (key: string) => given.batchBytes[Number(key.slice(1))]!
        const rounds = given.partitions * 3
        const served = servings(given, rounds, batchBytes, () => true)
        for (const [key, times] of served) if (batchBytes(key) > 0) assert.isAtLeast(times, 3)
      }),
      { seed: 1, numRuns: 300 }
    )
  })
})
