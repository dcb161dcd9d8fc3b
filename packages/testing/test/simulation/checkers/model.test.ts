import { assert, describe, it } from "@effect/vitest"
import { FastCheck } from "effect"

import { checkers } from "../../../src/internal/simulation/checkers/index.ts"
import type { History, HistoryEvent } from "../../../src/internal/simulation/history.ts"
import { type Move, partitionsOfModel, play } from "./model.ts"

const partition = FastCheck.nat(partitionsOfModel - 1)
const count = FastCheck.integer({ min: 1, max: 5 })
const move: FastCheck.Arbitrary<Move> = FastCheck.oneof(
  {
    weight: 4,
    arbitrary: FastCheck.record({
      _tag: FastCheck.constant("Send" as const),
      producer: FastCheck.nat(2),
      partition,
      count,
      fate: FastCheck.constantFrom(
        ...["acknowledged", "acknowledged", "duplicated", "maybeWritten", "maybeLost", "refused", "abandoned"] as const
      )
    })
  },
  {
    weight: 4,
    arbitrary: FastCheck.record({
      _tag: FastCheck.constant("Handle" as const),
      partition,
      count,
      fails: FastCheck.boolean()
    })
  },
  { weight: 3, arbitrary: FastCheck.record({ _tag: FastCheck.constant("Commit" as const), partition }) },
  { weight: 1, arbitrary: FastCheck.record({ _tag: FastCheck.constant("Move" as const), partition }) },
  {
    weight: 1,
    arbitrary: FastCheck.record({ _tag: FastCheck.constant("Expel" as const), member: FastCheck.nat(1) })
  },
  { weight: 1, arbitrary: FastCheck.record({ _tag: FastCheck.constant("Read" as const), partition, count }) }
)
const histories = FastCheck.array(move, { maxLength: 60 }).map(play)

const brokenIn = (history: History): ReadonlyArray<string> =>
  checkers.filter(({ check }) => check(history).length > 0).map(({ name }) => name)

type EventOf<Tag extends HistoryEvent["_tag"]> = Extract<HistoryEvent, { readonly _tag: Tag }>

/** The index of one of the events with this tag, that `where` takes. */
const one = <Tag extends HistoryEvent["_tag"]>(
  { events }: History,
  tag: Tag,
  choice: number,
  where: (event: EventOf<Tag>) => boolean = () => true
): number => {
  const indices = events.flatMap((event, index) => event._tag === tag && where(event as EventOf<Tag>) ? [index] : [])
  assert.isNotEmpty(indices)
  return indices[choice % indices.length]!
}

const withEvents = (history: History, change: (events: Array<HistoryEvent>) => void): History => {
  const events = Array.from(history.events)
  change(events)
  return { ...history, events }
}

/** Leaves out one event. */
const without = (history: History, index: number): History =>
  withEvents(history, (events) => void events.splice(index, 1))

/** One event says something else. */
const altered = <Tag extends HistoryEvent["_tag"]>(
  history: History,
  _tag: Tag,
  index: number,
  change: (event: EventOf<Tag>) => Partial<EventOf<Tag>>
): History =>
  withEvents(history, (events) => {
    const event = events[index] as EventOf<Tag>
    events[index] = { ...event, ...change(event) }
  })

/** Ids of records that were acknowledged to a sender with acks all. */
const isAcknowledgedByAll = (event: EventOf<"Acknowledged">) => event.producer === "p"
const acknowledgedRecord = (history: History, choice: number): number =>
  (history.events[one(history, "Acknowledged", choice, isAcknowledgedByAll)] as EventOf<"Acknowledged">).record
const isOfOthers = (record: number) => (logged: { readonly record: number }) => logged.record !== record

/** By the checker that must find it: ways to break a history, at some place. */
const mutations: ReadonlyArray<
  readonly [what: string, checker: string, mutate: (history: History, choice: number) => History]
> = [
  ["an acknowledged record is not in the log", "acknowledged-is-logged", (history, choice) => ({
    ...history,
    log: history.log.filter(isOfOthers(acknowledgedRecord(history, choice)))
  })],
  ["a failed record is in the log", "failed-no-is-absent", (history, choice) => {
    const { record } = history.events[one(history, "Failed", choice, (event) => event.persisted === "no")] as EventOf<
      "Failed"
    >
    return { ...history, log: [...history.log, { partition: 0, offset: 1000, record }] }
  }],
  ["a record is in the log twice", "no-duplicates", (history, choice) => ({
    ...history,
    log: [...history.log, { partition: 0, offset: 1000, record: acknowledgedRecord(history, choice) }]
  })],
  ["two records have each other's place", "order", (history) => {
    const [first, second] = history.log.filter(({ partition }) => partition === 0)
    return {
      ...history,
      log: history.log.map((logged) =>
        logged === first
          ? { ...logged, record: second!.record }
          : logged === second
          ? { ...logged, record: first!.record }
          : logged
      )
    }
  }],
  [
    "a flush is done before a record that was accepted",
    "flush-means-done",
    (history, choice) =>
      withEvents(history, (events) => {
        const index = one(history, "Accepted", choice)
        const { producer, time } = events[index] as EventOf<"Accepted">
        events.splice(index + 1, 0, { _tag: "Flushing", time, producer }, { _tag: "Flushed", time, producer })
      })
  ],
  [
    "a record fails for what is wrong with another one",
    "fails-for-a-reason",
    (history, choice) =>
      altered(history, "Failed", one(history, "Failed", choice), () => ({ reason: "SerializationFailed" }))
  ],
  ["a record is reported twice", "one-outcome", (history, choice) =>
    withEvents(history, (events) => {
      const index = one(history, "Reported", choice)
      events.splice(index, 0, events[index]!)
    })],
  [
    "a record is never reported",
    "one-outcome",
    (history, choice) => without(history, one(history, "Reported", choice))
  ],
  [
    "a sender is never told",
    "one-outcome",
    (history, choice) => without(history, one(history, "Acknowledged", choice))
  ],
  [
    "a report names another offset",
    "one-outcome",
    (history, choice) => {
      const record = acknowledgedRecord(history, choice)
      return altered(history, "Reported", one(history, "Reported", 0, (event) => event.record === record), () => ({
        outcome: { _tag: "Acknowledged", partition: 0, offset: 999 }
      }))
    }
  ],
  [
    "a record comes out of a stream with the correlation of another",
    "told-in-turn",
    (history, choice) =>
      withEvents(history, (events) => {
        const index = one(history, "Invoked", choice)
        const { producer, record, time } = events[index] as EventOf<"Invoked">
        events.splice(index + 1, 0, { _tag: "Piped", time, producer, lane: 1, record, correlation: record + 1 })
      })
  ],
  ["a record is in another partition than was chosen", "right-partition", (history, choice) => {
    const index = one(
      history,
      "Invoked",
      choice,
      ({ partition, record }) => partition !== undefined && history.log.some((logged) => logged.record === record)
    )
    return altered(history, "Invoked", index, ({ partition }) => ({ partition: partition! + 1 }))
  }],
  ["a record was never handed over", "nothing-invented", (history, choice) =>
    without(
      history,
      one(history, "Invoked", choice, ({ record }) => history.log.some((logged) => logged.record === record))
    )],
  [
    "a handler is given another record",
    "processed-is-logged",
    (history, choice) =>
      altered(history, "Started", one(history, "Started", choice), ({ record }) => ({ record: record + 1 }))
  ],
  [
    "a reader is given another record",
    "processed-is-logged",
    (history, choice) =>
      altered(history, "Read", one(history, "Read", choice), ({ offset }) => ({ offset: offset + 500 }))
  ],
  ["what was read is truncated", "processed-is-logged", (history) =>
    withEvents(history, (events) => {
      events.push({ _tag: "Truncated", time: events.at(-1)!.time, partition: 0, offset: 0 })
    })],
  ["a record is never processed", "nothing-skipped", (history, choice) => {
    const { offset, partition } = history.events[one(history, "Processed", choice)] as EventOf<"Processed">
    return {
      ...history,
      events: history.events.filter((event) =>
        event._tag !== "Processed" || event.offset !== offset || event.partition !== partition
      )
    }
  }],
  ["a reader leaves out a record", "in-order", (history, choice) => {
    const last = Math.max(...history.events.map((event) => event._tag === "Read" ? event.offset : 0))
    return without(history, one(history, "Read", choice, ({ offset }) => offset > 0 && offset < last))
  }],
  ["a handler leaves out a record", "in-order", (history) => {
    const next = (offset: number) => (event: HistoryEvent) =>
      (event._tag !== "Started" && event._tag !== "Processed") || event.partition !== 0 || event.offset !== offset
    // The first four records were handled before anything else happened.
    return { ...history, events: history.events.filter(next(2)) }
  }],
  [
    "a commit is one too far",
    "commit-not-past-processed",
    (history) => altered(history, "Committed", one(history, "Committed", 0), ({ offset }) => ({ offset: offset + 1 }))
  ],
  [
    "a commit was sent too early",
    "commit-not-past-processed",
    (history, choice) => altered(history, "Committed", one(history, "Committed", choice), () => ({ sentAt: -10 }))
  ],
  ["a later commit is one lower than the one before", "commit-not-backwards", (history) => {
    const index = one(history, "Committed", 0)
    return withEvents(history, (events) => {
      const event = events[index] as EventOf<"Committed">
      events.splice(index + 1, 0, { ...event, offset: event.offset - 1 })
    })
  }],
  ["what was committed is not stored", "commit-not-backwards", (history) => ({ ...history, committed: new Map() })],
  [
    "another member commits",
    "commit-only-owned",
    (history, choice) =>
      altered(history, "Committed", one(history, "Committed", choice), ({ memberId }) => ({
        memberId: memberId.startsWith("m") ? "n-2" : "m-1"
      }))
  ],
  [
    "a commit is of an earlier generation",
    "commit-only-owned",
    (history, choice) =>
      altered(history, "Committed", one(history, "Committed", choice), ({ generation }) => ({
        generation: generation - 1
      }))
  ],
  ["a record is handled again", "duplicates-only-after-loss", (history) =>
    withEvents(history, (events) => {
      const index = one(history, "Processed", 1)
      events.splice(index + 1, 0, events[index - 1]!, events[index]!)
    })],
  ["two members handle a partition at a time", "one-owner", (history) =>
    withEvents(history, (events) => {
      const index = one(history, "Processed", 0)
      const started = events[index - 1] as EventOf<"Started">
      events.splice(index, 0, { ...started, member: "n" })
    })],
  ["a member is expelled for nothing", "not-expelled-when-healthy", (history) =>
    withEvents(history, (events) => {
      const { time } = events[10]!
      events.splice(10, 0, { _tag: "Expelled", time, memberId: "m-1", why: "session" })
    })],
  ["a producer takes more than fits", "buffer-bound", (history) => ({
    ...history,
    producers: history.producers.map((producer) => ({ ...producer, bufferBytes: 15 })),
    events: history.events.map((event) => event._tag === "Accepted" ? { ...event, time: 0 } : event)
      .sort((a, b) => a.time - b.time)
  })],
  ["a member is sent more than fits", "fetch-bound", (history) => {
    const [member = ""] = history.members
    const { time } = history.events.at(-1)!
    const memberId = `${member}-new`
    return {
      ...history,
      fetchBuffers: new Map([[member, 100]]),
      events: [
        ...history.events,
        { _tag: "Assigned", time, generation: 1000, partitions: new Map([[memberId, [0]]]) },
        { _tag: "Synced", time, memberId, generation: 1000 },
        { _tag: "MemberStarted", time, member },
        {
          _tag: "Fetched",
          time: time + 20,
          sentAt: time + 10,
          member,
          broker: 1,
          excess: 0,
          parts: [{ partition: 0, from: 0, end: 9, bytes: 101 }]
        }
      ]
    }
  }],
  ["not everything is done", "progress", (history) => ({ ...history, settledAt: undefined })],
  ["it takes too long", "progress", (history) => ({
    ...history,
    settledAt: history.settledAt! + history.settleWithin + 1
  })],
  ["a fiber is left", "nothing-left", (history) => ({ ...history, leftovers: ["a fiber"] })],
  ["a report comes after the close", "close-is-orderly", (history, choice) =>
    withEvents(history, (events) => {
      const [report] = events.splice(one(history, "Reported", choice), 1)
      events.push(report!)
    })],
  [
    "a handler goes on after the close",
    "handlers-get-their-time",
    (history, choice) =>
      withEvents(history, (events) => {
        const at = one(history, "Started", choice)
        const { member } = events[at] as EventOf<"Started">
        events.splice(at + 1, 0, { _tag: "MemberClosed", time: events[at]!.time, member })
      })
  ],
  [
    "a record is handled beside one of its partition",
    "handled-in-turn",
    (history, choice) =>
      withEvents(history, (events) => {
        const at = one(history, "Started", choice)
        const event = events[at] as EventOf<"Started">
        events.splice(at + 1, 0, { ...event, offset: event.offset + 1 })
      })
  ],
  [
    "a record is handled before it is committed",
    "handled-once",
    (history, choice) => {
      one(history, "Started", choice)
      return { ...history, atMostOnce: true, events: history.events.filter(({ _tag }) => _tag !== "Committed") }
    }
  ],
  [
    "a record of a partition that is paused is handled",
    "paused-is-paused",
    (history, choice) => {
      const at = one(history, "Started", choice)
      const { member, partition } = history.events[at] as EventOf<"Started">
      const time = -1000
      return { ...history, events: [{ _tag: "Paused", time, member, partition }, ...history.events.slice(at)] }
    }
  ],
  ["a close takes long", "closes-in-time", (history, choice) => {
    const at = one(history, "MemberClosing", choice)
    const { member } = history.events[at] as EventOf<"MemberClosing">
    return { ...history, closingTimes: new Map([[member, -1]]) }
  }],
  ["a record is handled after the close", "close-is-orderly", (history, choice) =>
    withEvents(history, (events) => {
      const [started] = events.splice(one(history, "Started", choice), 1)
      events.push(started!)
    })]
]

describe("the checkers", () => {
  it.prop("accept what a model does that never lies", [histories], ([history]) => {
    assert.deepStrictEqual(brokenIn(history), [])
  }, { fastCheck: { numRuns: 300, seed: 1 } })

  for (const [what, checker, mutate] of mutations) {
    it.prop(`find that ${what}: ${checker}`, [histories, FastCheck.nat(10_000)], ([history, choice]) => {
      assert.include(brokenIn(mutate(history, choice)), checker)
    }, { fastCheck: { numRuns: 50, seed: 1 } })
  }

  it("are each shown to find something", () => {
    const shown = new Set(mutations.map(([, checker]) => checker))
    assert.deepStrictEqual(checkers.map(({ name }) => name).filter((name) => !shown.has(name)), [])
  })

  it("have names and statements of their own", () => {
    assert.strictEqual(new Set(checkers.map(({ name }) => name)).size, checkers.length)
    assert.strictEqual(new Set(checkers.map(({ statement }) => statement)).size, checkers.length)
  })

  it("tell of many violations by their number", () => {
    const history = play([])
    const nothingLeft = checkers.find(({ name }) => name === "nothing-left")!
    const violations = nothingLeft.check({
      ...history,
      leftovers: Array.from({ length: 1000 }, (_, i) => `fiber ${i}`)
    })
    assert.lengthOf(violations, 21)
    assert.strictEqual(violations.at(-1)!.message, "and 980 more")
  })
})
