import { describe } from "@effect/vitest"

import { closesInTime } from "../../../src/internal/simulation/checkers/closesInTime.ts"
import { commitNotPastProcessed } from "../../../src/internal/simulation/checkers/commitNotPastProcessed.ts"
import { duplicatesOnlyAfterLoss } from "../../../src/internal/simulation/checkers/duplicatesOnlyAfterLoss.ts"
import { handlersGetTheirTime } from "../../../src/internal/simulation/checkers/handlersGetTheirTime.ts"
import { inOrder } from "../../../src/internal/simulation/checkers/inOrder.ts"
import { nothingSkipped } from "../../../src/internal/simulation/checkers/nothingSkipped.ts"
import {
  assigned,
  cases,
  committed,
  faultBegan,
  faultEnded,
  handled,
  handlerEnded,
  history,
  log,
  member,
  processed,
  read,
  started,
  type Step,
  synced
} from "./histories.ts"

/** Partition 0 has eight records, by their ids 0, 10, 20, … */
const full = { log: log(0, 0, 10, 20, 30, 40, 50, 60, 70) }
const taken = [assigned(1, "a-1", "b-2"), synced("a-1", 1), synced("b-2", 1)]
const deleted = (offset: number, partition = 0): Step => ({ _tag: "Deleted", partition, offset })
const readFailed = (offset: number): Step => ({ _tag: "ReadFailed", reader: "reader", partition: 0, offset })
const endFound = (offset: number): Step => ({ _tag: "EndFound", partition: 0, offset })
const undecodable = { ...full, undecodable: new Set([20]) }
const fromTheEnd = { ...full, reset: "latest" as const }

describe("nothing-skipped, with a beginning that moves", () => {
  cases(nothingSkipped, {
    accepts: {
      "what was deleted": history([deleted(3), ...handled("a", 3, 4, 5, 6, 7)], full),
      "what was deleted, little by little": history([deleted(3), deleted(5), ...handled("a", 5, 6, 7)], full),
      "what is before the end that was found": history([endFound(5), ...handled("a", 5, 6, 7)], fromTheEnd),
      "what is before the first commit, where the end was found in trouble": history(
        [faultBegan(), endFound(2), faultEnded(), committed("a-1", 1, 6, { sentAt: 0 }), ...handled("a", 6, 7)],
        fromTheEnd
      ),
      "a partition whose end nobody asked for": history([], fromTheEnd)
    },
    rejects: {
      "what comes after it": history([deleted(3), ...handled("a", 4, 5, 6, 7)], full),
      "what was deleted of another partition": history([deleted(3, 1), ...handled("a", 3, 4, 5, 6, 7)], full),
      "what is past the first end, where a later one was found": history(
        [endFound(5), endFound(6), committed("a-1", 1, 6, { sentAt: 0 }), ...handled("a", 6, 7)],
        fromTheEnd
      ),
      "an end that was found by a group that begins at the beginning": history(
        [endFound(5), ...handled("a", 5, 6, 7)],
        full
      )
    }
  })
})

describe("commit-not-past-processed, with a beginning that moves", () => {
  const at10 = { sentAt: 10 }
  cases(commitNotPastProcessed, {
    accepts: {
      "what was deleted": history([...handled("a", 0), deleted(3), 12, committed("a-1", 1, 3, at10)], full),
      "what was deleted, and then processed": history(
        [deleted(3), ...handled("a", 3), 12, committed("a-1", 1, 4, at10)],
        full
      ),
      "the end that was found": history([endFound(5), 12, committed("a-1", 1, 5, at10)], fromTheEnd)
    },
    rejects: {
      "what comes after it": history([deleted(3), 12, committed("a-1", 1, 4, at10)], full),
      "what is deleted while the commit is on its way": history(
        [14, deleted(3), 15, committed("a-1", 1, 3, at10)],
        full
      ),
      "past the end that was found": history([endFound(5), 12, committed("a-1", 1, 6, at10)], fromTheEnd),
      "the end that was found in a partition that begins at the beginning": history(
        [endFound(5), 12, committed("a-1", 1, 5, at10)],
        full
      )
    }
  })
})

describe("in-order, with a beginning that moves", () => {
  cases(inOrder, {
    accepts: {
      "over what was deleted": history([...taken, ...handled("a", 0, 1), deleted(5), ...handled("a", 5)], full),
      "over what was deleted, after what was still in hand": history(
        [...taken, started("a", 0), deleted(5), processed("a", 0), ...handled("a", 1, 2, 5)],
        full
      ),
      "a reader, over what was deleted": history([read(0), deleted(4), read(4)], full),
      "a record that cannot be read, after those before it": history([read(0), read(1), readFailed(2)], undecodable),
      "a first record that cannot be read": history([readFailed(0)], { ...full, undecodable: new Set([0]) }),
      "a reader that begins at what is left": history([deleted(4), read(4)], full),
      "a member that begins anywhere": history([...taken, ...handled("a", 5)], full)
    },
    rejects: {
      "further than what was deleted": history(
        [...taken, ...handled("a", 0, 1), deleted(5), ...handled("a", 6)],
        full
      ),
      "before it was deleted": history([...taken, ...handled("a", 0, 1), 1, started("a", 5), 2, deleted(5)], full),
      "back": history([...taken, ...handled("a", 0, 1, 2), deleted(5), ...handled("a", 1)], full),
      "a reader over a record that cannot be read": history([read(0), read(1), read(3)], full),
      "a reader that begins later": history([read(1), read(2)], full),
      "a reader that fails at the place of a later record": history([read(0), read(1), readFailed(3)], {
        ...full,
        undecodable: new Set([30])
      }),
      "a reader that fails at the place of another record": history([read(0), readFailed(1)], undecodable),
      "a reader that fails where nothing is": history([read(0), read(1), readFailed(9)], undecodable),
      "a reader that reads what does not decode": history([read(0), read(1), read(2)], undecodable)
    }
  })
})

describe("duplicates-only-after-loss, with a beginning that moves", () => {
  cases(duplicatesOnlyAfterLoss, {
    accepts: {
      "over what was deleted": history([...taken, ...handled("a", 0, 1), deleted(5), ...handled("a", 5)], full)
    },
    rejects: {
      "back": history([...taken, ...handled("a", 0, 1, 2), deleted(5), ...handled("a", 1)], full)
    }
  })
})

describe("handlers-get-their-time", () => {
  const bound = { drainTimeouts: new Map([["a", 500], ["b", 500]]) }
  const closed = [member("Closing", "a"), member("Closed", "a")]
  cases(handlersGetTheirTime, {
    accepts: {
      "one that had it": history([started("a", 0), 500, handlerEnded("a", 0, "interrupted"), ...closed], bound),
      "one that fails by itself": history([started("a", 0), handlerEnded("a", 0, "failed"), ...closed], bound),
      "one that is done": history([...handled("a", 0), ...closed], bound),
      "one whose partition may be lost": history(
        [faultBegan(), started("a", 0), handlerEnded("a", 0, "interrupted")],
        bound
      ),
      "one of a stream": history([started("b", 0), handlerEnded("b", 0, "interrupted"), member("Closed", "b")], bound),
      "of members whose bound is not known": history([started("a", 0), handlerEnded("a", 0, "interrupted")])
    },
    rejects: {
      "one that is interrupted early": history([started("a", 0), 300, handlerEnded("a", 0, "interrupted")], bound),
      "one that is interrupted early the second time": history(
        [
          started("a", 0),
          500,
          handlerEnded("a", 0, "failed"),
          started("a", 0),
          600,
          handlerEnded("a", 0, "interrupted")
        ],
        bound
      ),
      "one that goes on when its member is closed": history([started("a", 0), 900, ...closed], bound),
      "one that goes on in trouble": history([faultBegan(), started("a", 0), 900, ...closed], bound)
    }
  })
})

describe("closes-in-time", () => {
  const bound = { closingTimes: new Map([["a", 500]]) }
  cases(closesInTime, {
    accepts: {
      "in time": history([member("Closing", "a"), 500, member("Closed", "a")], bound),
      "again": history(
        [member("Closing", "a"), 400, member("Closed", "a"), 800, member("Closing", "a"), 900, member("Closed", "a")],
        bound
      ),
      "one that has time left when all is over": history([member("Closing", "a")], { ...bound, endedAt: 500 }),
      "one whose bound is not known": history([member("Closing", "b"), 600, member("Closed", "b")], bound),
      "one that is made to close before it has started": history([600, member("Closed", "a")], bound)
    },
    rejects: {
      "late": history([member("Closing", "a"), 501, member("Closed", "a")], bound),
      "late, in trouble": history([faultBegan(), member("Closing", "a"), 501, member("Closed", "a")], bound),
      "never": history([member("Closing", "a"), 501, ...handled("b", 0)], bound),
      "never, though nothing happens any more": history([member("Closing", "a")], { ...bound, endedAt: 501 })
    }
  })
})
