import { assert, describe, it } from "@effect/vitest"
import { Duration, FastCheck } from "effect"

import { Fault } from "../src/index.ts"

const kindsOf = (faults: ReadonlyArray<Fault.Fault>) => new Set(faults.map((fault) => fault._tag))

/** The faults of a schedule with their times. */
const drawnBy = (options: Partial<Fault.ScheduleOptions> = {}) => {
  const drawn = Fault.schedule({
    seed: 1,
    count: 20,
    within: "1 minute",
    brokers: [1, 2, 3],
    topics: { orders: 3, empty: 0 },
    groups: ["billing"],
    clients: ["a", "b"],
    ...options
  })
  if (drawn._tag !== "All") throw new Error(drawn._tag)
  return drawn.faults.map((later) => {
    if (later._tag !== "After" || typeof later.when !== "number") throw new Error(Fault.describe(later))
    return { at: later.when, fault: later.fault }
  })
}

describe("a fault", () => {
  const described: ReadonlyArray<[Fault.Fault, Fault.Fault, string]> = [
    [Fault.loseRequest("Produce"), { _tag: "LoseRequest", on: { api: "Produce" } }, "lose the next Produce"],
    [
      Fault.loseResponse({ api: "Fetch", broker: 2, client: "a", nth: 3 }),
      { _tag: "LoseResponse", on: { api: "Fetch", broker: 2, client: "a", nth: 3 } },
      "lose the response to the 3rd Fetch to broker 2 of a"
    ],
    [
      Fault.reset({ times: 2 }, "request"),
      { _tag: "Reset", on: { times: 2 }, during: "request" },
      "reset in the middle of the next 2 requests"
    ],
    [
      Fault.reset({ api: "SyncGroup", nth: 11, times: 2 }, "response"),
      { _tag: "Reset", on: { api: "SyncGroup", nth: 11, times: 2 }, during: "response" },
      "reset in the middle of the response to 2 SyncGroup from the 11th on"
    ],
    [Fault.halfOpen({}), { _tag: "HalfOpen", links: {} }, "silence all connections"],
    [
      Fault.partition({ brokers: [1, 2], clients: ["a"] }, "2 seconds"),
      { _tag: "Partition", links: { brokers: [1, 2], clients: ["a"] }, duration: 2000 },
      "cut off connections of a to brokers 1, 2 for 2000 ms"
    ],
    [
      Fault.slow({ brokers: [1] }, { latency: 20, duration: Duration.seconds(1) }),
      { _tag: "Slow", links: { brokers: [1] }, latency: 20, jitter: 0, bytesPerSecond: undefined, duration: 1000 },
      "slow connections to broker 1: 20 ms and up to 0 ms more, for 1000 ms"
    ],
    [
      Fault.slow({}, { jitter: "5 millis", bytesPerSecond: 1000, duration: 10 }),
      { _tag: "Slow", links: {}, latency: 0, jitter: 5, bytesPerSecond: 1000, duration: 10 },
      "slow all connections: 0 ms and up to 5 ms more, 1000 bytes/s, for 10 ms"
    ],
    [
      Fault.throttle("Produce", "1 second"),
      { _tag: "Throttle", on: { api: "Produce" }, delay: 1000 },
      "throttle the next Produce by 1000 ms"
    ],
    [
      Fault.refuse("Produce", "NotEnoughReplicas"),
      { _tag: "Refuse", on: { api: "Produce" }, error: "NotEnoughReplicas" },
      "refuse the next Produce with NotEnoughReplicas"
    ],
    [Fault.crash(1), { _tag: "Crash", broker: 1, duration: undefined }, "crash broker 1"],
    [Fault.crash(1, 5), { _tag: "Crash", broker: 1, duration: 5 }, "crash broker 1 for 5 ms"],
    [Fault.start(1), { _tag: "Start", broker: 1 }, "start broker 1"],
    [Fault.pause(1, "1 minute"), { _tag: "Pause", broker: 1, duration: 60_000 }, "pause broker 1 for 60000 ms"],
    [Fault.resume(1), { _tag: "Resume", broker: 1 }, "resume broker 1"],
    [
      Fault.moveLeader("orders", 1),
      { _tag: "MoveLeader", topic: "orders", partition: 1, broker: undefined },
      "move the leader of orders-1 on"
    ],
    [
      Fault.moveCoordinator("billing", 2),
      { _tag: "MoveCoordinator", group: "billing", broker: 2 },
      "move the coordinator of billing to broker 2"
    ],
    [Fault.jumpClock("1 hour"), { _tag: "JumpClock", by: 3_600_000 }, "the clock jumps by 3600000 ms"],
    [Fault.jumpClock("-5 seconds"), { _tag: "JumpClock", by: -5000 }, "the clock jumps by -5000 ms"],
    [Fault.jumpClock(-7), { _tag: "JumpClock", by: -7 }, "the clock jumps by -7 ms"],
    [
      Fault.after("5 seconds", Fault.start(1)),
      { _tag: "After", when: 5000, fault: { _tag: "Start", broker: 1 } },
      "after 5000 ms: start broker 1"
    ],
    [
      Fault.after("Produce", Fault.start(1)),
      { _tag: "After", when: { api: "Produce" }, fault: { _tag: "Start", broker: 1 } },
      "with the next Produce: start broker 1"
    ],
    [
      Fault.after({ api: "Fetch", nth: 2 }, Fault.start(1)),
      { _tag: "After", when: { api: "Fetch", nth: 2 }, fault: { _tag: "Start", broker: 1 } },
      "with the 2nd Fetch: start broker 1"
    ],
    [
      Fault.all(Fault.start(1), Fault.resume(2)),
      { _tag: "All", faults: [{ _tag: "Start", broker: 1 }, { _tag: "Resume", broker: 2 }] },
      "start broker 1; resume broker 2"
    ],
    [Fault.all(), { _tag: "All", faults: [] }, "nothing"]
  ]
  for (const [fault, data, line] of described) {
    it(`is data, and one line: ${line}`, () => {
      assert.deepStrictEqual(fault, data)
      assert.strictEqual(Fault.describe(fault), line)
    })
  }

  const refused: ReadonlyArray<[string, () => Fault.Fault, string]> = [
    ["an API", () => Fault.loseRequest("Prodcue"), "there is no API \"Prodcue\"; there are ApiVersions"],
    ["an API, later", () => Fault.after("Prodcue", Fault.start(1)), "there is no API \"Prodcue\""],
    ["an error", () => Fault.refuse("Produce", "NotALeader"), "there is no error \"NotALeader\""],
    ["no error", () => Fault.refuse("Produce", "None"), "there is no error \"None\""],
    ["nth", () => Fault.loseResponse({ nth: 0 }), "nth is 0"],
    ["nth in fractions", () => Fault.loseResponse({ nth: 1.5 }), "nth is 1.5"],
    ["times", () => Fault.loseResponse({ times: 0 }), "times is 0"],
    ["a duration", () => Fault.partition({}, -1), "A duration of -1"],
    ["a duration in words", () => Fault.crash(1, "-1 second" as never), "A duration of -1 second"],
    ["no duration", () => Fault.pause(1, 0), "a duration of 0 ms"],
    ["not a duration", () => Fault.pause(1, NaN), "A duration of NaN ms"],
    ["no number for a latency", () => Fault.slow({}, { latency: NaN, duration: 1 }), "A latency of NaN ms"],
    ["no number for a time", () => Fault.after(NaN, Fault.start(1)), "A time of NaN ms"],
    ["no number for a delay", () => Fault.throttle("Produce", NaN), "A delay of NaN ms"],
    ["neither half", () => Fault.reset("Produce", "both" as never), "during is both; it must be \"request\" or"],
    ["a latency", () => Fault.slow({}, { latency: -1, duration: 1 }), "A latency of -1"],
    ["a jitter", () => Fault.slow({}, { jitter: -1, duration: 1 }), "A jitter of -1"],
    ["a latency without end", () => Fault.slow({}, { latency: Infinity, duration: 1 }), "never arrives"],
    ["a rate", () => Fault.slow({}, { bytesPerSecond: 0, duration: 1 }), "0 bytes a second"],
    ["a delay", () => Fault.throttle("Produce", -1), "A delay of -1"],
    ["a delay beyond the protocol", () => Fault.throttle("Produce", "100 days"), "2^31 - 1"],
    ["a time", () => Fault.after(-1, Fault.start(1)), "A time of -1"],
    ["a jump", () => Fault.jumpClock(Infinity), "cannot jump by Infinity"],
    ["a topic", () => Fault.moveLeader("", 0), "topic is empty"],
    ["a group", () => Fault.moveCoordinator(""), "group is empty"],
    ["a seed", () => Fault.schedule({ seed: 1.5, count: 1, within: 1000, brokers: [1] }), "seed of 1.5"],
    ["a count", () => Fault.schedule({ seed: 1, count: -1, within: 1000, brokers: [1] }), "-1 faults"],
    ["no time", () => Fault.schedule({ seed: 1, count: 1, within: 0, brokers: [1] }), "within 0 ms"],
    ["no brokers", () => Fault.schedule({ seed: 1, count: 1, within: 1000, brokers: [] }), "ids of the brokers"],
    [
      "kinds that do not fit",
      () => Fault.schedule({ seed: 1, count: 1, within: 1000, brokers: [1], kinds: ["Crash"] }),
      "without any kind"
    ],
    [
      "too many in a short time",
      () => Fault.schedule({ seed: 1, count: 100, within: 10, brokers: [1, 2, 3], kinds: ["Crash"] }),
      "too short for 100 faults"
    ]
  ]
  for (const [what, make, message] of refused) {
    it(`cannot be made with what cannot be: ${what}`, () => {
      assert.throws(make, RangeError, message)
    })
  }
})

describe("a schedule", () => {
  const seeds = FastCheck.maxSafeInteger()

  it("is decided by its seed", () => {
    const json = (seed: number) => JSON.stringify(drawnBy({ seed }))
    assert.strictEqual(json(7), json(7))
    assert.notStrictEqual(json(7), json(8))
    assert.notStrictEqual(json(7), json(7 + 2 ** 32))
  })

  it.prop("survives JSON: it says the same", { seed: seeds }, ({ seed }) => {
    const faults = drawnBy({ seed, count: 30 }).map(({ fault }) => fault)
    const read = JSON.parse(JSON.stringify(faults)) as ReadonlyArray<Fault.Fault>
    assert.deepStrictEqual(read.map(Fault.describe), faults.map(Fault.describe))
  })

  it.prop("has ten kinds of faults among any 20 in a row", { seed: seeds }, ({ seed }) => {
    const faults = drawnBy({ seed, count: 60, within: "3 minutes" }).map(({ fault }) => fault)
    for (let from = 0; from + 20 <= faults.length; from++) {
      assert.isAtLeast(kindsOf(faults.slice(from, from + 20)).size, 10, `from ${from}`)
    }
  })

  it.prop("has ten kinds even of one broker without clients", { seed: seeds }, ({ seed }) => {
    const faults = drawnBy({ seed, brokers: [1], clients: [] }).map(({ fault }) => fault)
    assert.isAtLeast(kindsOf(faults).size, 10)
    for (const kind of ["Crash", "Pause", "Partition"] as const) assert.isFalse(kindsOf(faults).has(kind))
  })

  it.prop("heals in time, and never has more than a minority of brokers out", {
    seed: seeds,
    brokers: FastCheck.integer({ min: 1, max: 7 }),
    count: FastCheck.integer({ min: 0, max: 50 })
  }, ({ brokers, count, seed }) => {
    const ids = Array.from({ length: brokers }, (_, index) => index + 1)
    const drawn = drawnBy({ seed, count, brokers: ids })
    assert.lengthOf(drawn, count)
    assert.deepStrictEqual(drawn.map(({ at }) => at), drawn.map(({ at }) => at).sort((one, other) => one - other))
    const outages = drawn.flatMap(({ at, fault }) => {
      assert.isTrue(at >= 0 && at <= 60_000)
      const duration = "duration" in fault ? fault.duration! : 0
      assert.isAtMost(at + duration, 60_000, Fault.describe(fault))
      if (fault._tag === "Crash" || fault._tag === "Pause") return { broker: fault.broker, at, until: at + duration }
      return fault._tag === "Partition" && fault.links.clients === undefined
        ? { broker: fault.links.brokers![0]!, at, until: at + duration }
        : []
    })
    for (const { at } of outages) {
      const out = new Set(outages.filter((other) => other.at <= at && at <= other.until).map(({ broker }) => broker))
      assert.isBelow(out.size, brokers / 2)
    }
  })

  it("draws from the kinds that are named", () => {
    assert.deepStrictEqual(
      kindsOf(drawnBy({ kinds: ["Reset", "Crash"] }).map(({ fault }) => fault)),
      new Set<Fault.Fault["_tag"]>(["Reset", "Crash"])
    )
  })
})
