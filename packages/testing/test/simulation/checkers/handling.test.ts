/** How members handle records: in which order, beside one another, once, and where they are paused or moved. */
import { describe } from "@effect/vitest"

import { commitNotBackwards } from "../../../src/internal/simulation/checkers/commitNotBackwards.ts"
import { commitNotPastProcessed } from "../../../src/internal/simulation/checkers/commitNotPastProcessed.ts"
import { commitOnlyOwned } from "../../../src/internal/simulation/checkers/commitOnlyOwned.ts"
import { duplicatesOnlyAfterLoss } from "../../../src/internal/simulation/checkers/duplicatesOnlyAfterLoss.ts"
import { handledInTurn } from "../../../src/internal/simulation/checkers/handledInTurn.ts"
import { handledOnce } from "../../../src/internal/simulation/checkers/handledOnce.ts"
import { inOrder } from "../../../src/internal/simulation/checkers/inOrder.ts"
import { notExpelledWhenHealthy } from "../../../src/internal/simulation/checkers/notExpelledWhenHealthy.ts"
import { pausedIsPaused } from "../../../src/internal/simulation/checkers/pausedIsPaused.ts"
import type { HandlingFacts } from "../../../src/internal/simulation/history.ts"
import {
  assigned,
  cases,
  committed,
  expelled,
  fetched,
  handled,
  handlerEnded,
  history,
  log,
  member,
  processed,
  restarted,
  started,
  type Step,
  synced
} from "./histories.ts"

/** Keys of the records of partition 0, from offset 0 on. */
const keys = ["one", "two", "one", null, "two", "one", null, "two"]
const keyed = log(0, 0, 10, 20, 30, 40, 50, 60, 70).map((logged, offset) => ({ ...logged, key: keys[offset]! }))
const by = (order: HandlingFacts["order"], facts: Omit<HandlingFacts, "order"> = {}) => ({
  log: keyed,
  handling: new Map<string, HandlingFacts>([["a", { order, ...facts }]])
})
const inBatch = (step: Step, stream: number): Step => ({ ...step as object, stream }) as Step
const killed: Step = { _tag: "MemberKilled", member: "a" }
const paused: Step = { _tag: "Paused", member: "a", partition: 0 }
const continued: Step = { _tag: "Continued", member: "a", partition: 0 }
const seeking = (offset: number): Step => ({ _tag: "Seeking", member: "a", partition: 0, offset })
const sought = (offset: number): Step => ({ _tag: "Sought", member: "a", partition: 0, offset })
const taken = [assigned(1, "a-1", "b-1"), synced("a-1", 1)]

describe("handled-in-turn", () => {
  cases(handledInTurn, {
    accepts: {
      "one after the other": history(handled("a", 0, 1, 2), by("partition")),
      "two partitions side by side": history([started("a", 0), started("a", 0, 5, 1)], by("partition")),
      "two streams of a partition": history([inBatch(started("a", 0), 1), inBatch(started("a", 0), 2)]),
      "other keys side by side": history(
        [started("a", 0), started("a", 1), started("a", 3), started("a", 6)],
        by("key")
      ),
      "anything in no order": history([started("a", 0), started("a", 2)], by("none")),
      "the records of a batch": history([inBatch(started("a", 0), 1), inBatch(started("a", 1), 1)], by("batch")),
      "as many as may": history([started("a", 0), started("a", 1)], by("key", { concurrency: 2 })),
      "as far ahead as it may": history(
        [started("a", 0), ...handled("a", 1), started("a", 2)],
        by("none", { maxAhead: 3 })
      ),
      "further ahead after a rebalance": history(
        [started("a", 0), ...taken, started("a", 5)],
        by("none", { maxAhead: 3 })
      ),
      "further ahead where it was moved": history(
        [started("a", 0), seeking(5), sought(5), started("a", 5)],
        by("none", { maxAhead: 3 })
      ),
      "what was in hand when it was killed": history([started("a", 0), killed, started("a", 0)], by("partition"))
    },
    rejects: {
      "two of a partition": history([started("a", 0), started("a", 1)], by("partition")),
      "two of a key": history([started("a", 0), started("a", 2)], by("key")),
      "two batches of a partition": history([inBatch(started("a", 0), 1), inBatch(started("a", 1), 2)], by("batch")),
      "more than may": history([started("a", 0), started("a", 1), started("a", 3)], by("key", { concurrency: 2 })),
      "further ahead than it may": history(
        [started("a", 0), ...handled("a", 1, 2), started("a", 3)],
        by("none", { maxAhead: 3 })
      )
    }
  })
})

describe("in-order, by key and in no order", () => {
  cases(inOrder, {
    accepts: {
      "each key in its order": history(handled("a", 1, 0, 4, 3, 2, 6, 5), by("key")),
      "a key again after its reader began again": history(
        [...handled("a", 0, 2), restarted("a"), ...handled("a", 2)],
        by("key")
      ),
      "in no order whatever": history(handled("a", 4, 0, 2), by("none")),
      "a key again after it was killed": history([...handled("a", 0), killed, ...handled("a", 0)], by("key"))
    },
    rejects: {
      "a record of a key left out": history(handled("a", 0, 5), by("key")),
      "a key backwards": history(handled("a", 2, 0), by("key")),
      "a record again": history(handled("a", 0, 0), by("key")),
      "a record again in no order": history(handled("a", 3, 1, 3), by("none"))
    }
  })
})

describe("a partition that is moved", () => {
  describe("in-order", () => {
    cases(inOrder, {
      accepts: {
        "goes on there": history([...taken, ...handled("a", 0, 1), seeking(5), sought(5), 500, ...handled("a", 5, 6)], {
          log: keyed
        }),
        "with what had been about to begin": history(
          [...taken, ...handled("a", 0), seeking(5), sought(5), ...handled("a", 1), 500, ...handled("a", 5)],
          { log: keyed }
        )
      },
      rejects: {
        "goes on where it was": history(
          [...taken, ...handled("a", 0), seeking(5), sought(5), 500, ...handled("a", 1)],
          { log: keyed }
        ),
        "leaves something out": history(
          [...taken, ...handled("a", 0), seeking(3), sought(3), 500, ...handled("a", 4)],
          {
            log: keyed
          }
        ),
        "begins before, by key": history([...taken, seeking(5), sought(5), 500, ...handled("a", 1)], by("key"))
      }
    })
  })

  describe("commit-not-past-processed", () => {
    cases(commitNotPastProcessed, {
      accepts: {
        "is committed past what is left out": history(
          [
            ...handled("a", 0),
            seeking(7),
            sought(7),
            10,
            ...handled("a", 7),
            20,
            committed("a-1", 1, 8, { sentAt: 20 })
          ],
          { log: keyed }
        ),
        "in a group that commits before": history([committed("a-1", 1, 8, { sentAt: 0 })], {
          log: keyed,
          atMostOnce: true
        })
      },
      rejects: {
        "is committed past what comes after": history(
          [...handled("a", 0), seeking(3), sought(3), 10, committed("a-1", 1, 5, { sentAt: 10 })],
          { log: keyed }
        )
      }
    })
  })

  describe("commit-not-backwards", () => {
    const end = { log: keyed, committed: new Map([[0, 3]]) }
    const before = [committed("a-1", 1, 7, { sentAt: 0 }), 10]
    cases(commitNotBackwards, {
      accepts: {
        "is committed from there": history([
          ...before,
          seeking(2),
          sought(2),
          20,
          committed("a-1", 1, 3, { sentAt: 20 })
        ], end)
      },
      rejects: {
        "and back once more": history([
          ...before,
          seeking(2),
          sought(2),
          20,
          committed("a-1", 1, 5, { sentAt: 20 }),
          30,
          committed("a-1", 1, 3, { sentAt: 30 })
        ], end)
      }
    })
  })

  describe("duplicates-only-after-loss", () => {
    const other = [
      10,
      assigned(2, undefined, "a-1", "b-1"),
      synced("a-1", 2),
      assigned(3, "b-1", "a-1"),
      synced("b-1", 3)
    ]
    cases(duplicatesOnlyAfterLoss, {
      accepts: {
        "back by its next owner": history(
          [
            ...taken,
            ...handled("a", 0, 1),
            ...other,
            { ...seeking(0) as object, member: "b" } as Step,
            ...handled("b", 0)
          ],
          { log: keyed }
        ),
        "by key, behind another partition": history(
          [...taken, started("a", 0, 5, 1), ...handled("a", 0, 1), ...other, 600, ...handled("b", 0)],
          { ...by("key"), drainTimeout: 500 }
        )
      },
      rejects: {
        "that nobody moved": history([...taken, ...handled("a", 0, 1), ...other, ...handled("b", 0)], { log: keyed })
      }
    })
  })
})

describe("handled-once", () => {
  const once = { log: keyed, atMostOnce: true }
  const before = committed("a-1", 1, 3, { sentAt: 0 })
  cases(handledOnce, {
    accepts: {
      "what is committed": history([before, ...handled("a", 0, 2)], once),
      "anything elsewhere": history(handled("a", 0, 0), { log: keyed })
    },
    rejects: {
      "what is not committed": history([before, ...handled("a", 3)], once),
      "what is refused": history([committed("a-1", 1, 3, { sentAt: 0, errorCode: 22 }), ...handled("a", 0)], once),
      "twice, also when its handler failed": history(
        [before, started("a", 0), handlerEnded("a", 0, "failed"), started("a", 0)],
        once
      )
    }
  })
})

describe("paused-is-paused", () => {
  const come = [fetched(0, 3, 30, { sentAt: 0 })]
  cases(pausedIsPaused, {
    accepts: {
      "what had come": history([...come, paused, 500, ...handled("a", 0, 2)]),
      "what had begun to begin": history([...come, paused, 50, ...handled("a", 3)]),
      "what comes later": history([...come, paused, 500, continued, ...handled("a", 3)]),
      "another member": history([...come, paused, 500, ...handled("b", 3)])
    },
    rejects: {
      "what had not come": history([...come, paused, 500, ...handled("a", 3)]),
      "what comes there": history([...come, paused, 500, sought(0), 1000, ...handled("a", 0)])
    }
  })
})

describe("members that stall, are killed, or come back", () => {
  describe("not-expelled-when-healthy", () => {
    const stalled: Step = { _tag: "Stalled", member: "a" }
    const resumed: Step = { _tag: "Resumed", member: "a" }
    const fenced: Step = { _tag: "MemberFenced", member: "a" }
    cases(notExpelledWhenHealthy, {
      accepts: {
        "one that was killed": history([killed, 1500, member("Started", "a"), expelled("a-1")]),
        "one that stands still": history([stalled, 5000, expelled("a-1")]),
        "one that stood still": history([stalled, 5000, resumed, 6000, expelled("a-1"), fenced])
      },
      rejects: {
        "one that was killed long ago": history([killed, 9000, member("Started", "a"), expelled("a-1")]),
        "one that stood still long ago": history([stalled, 100, resumed, 9000, expelled("a-1")]),
        "another one": history([stalled, 5000, expelled("b-1")]),
        "a name that nobody else can have taken": history([fenced])
      }
    })
  })

  describe("commit-only-owned", () => {
    const back: Step = { _tag: "Synced", memberId: "a-2", generation: 1, partitions: [0] }
    const commit = (id: string) => committed(id, 1, 1, { sentAt: 0 })
    cases(commitOnlyOwned, {
      accepts: { "a static member that came back": history([...taken, processed("a", 0), back, commit("a-2")]) },
      rejects: { "who it was": history([...taken, processed("a", 0), back, commit("a-1")]) }
    })
  })
})
