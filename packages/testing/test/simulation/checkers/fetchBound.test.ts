import { describe } from "@effect/vitest"

import { fetchBound } from "../../../src/internal/simulation/checkers/fetchBound.ts"
import {
  assigned,
  cases,
  fetched,
  handled,
  history,
  member,
  restarted,
  started,
  type Step,
  synced
} from "./histories.ts"

const facts = { fetchBuffers: new Map([["a", 100]]) }
const joined = [assigned(1, "a-1"), synced("a-1", 1), member("Started", "a"), 10]
const past = (steps: ReadonlyArray<Step>, more = {}) => history([...joined, ...steps], { ...facts, ...more })

describe("fetch-bound", () => {
  cases(fetchBound, {
    accepts: {
      "as much as it may": past([fetched(0, 2, 60, { sentAt: 5 }), fetched(2, 4, 40, { sentAt: 6 })]),
      "more, when some was handled": past([
        fetched(0, 2, 60, { sentAt: 5 }),
        ...handled("a", 0, 1),
        fetched(2, 4, 60, { sentAt: 6 })
      ]),
      "more, when the last record is in hand": past([
        fetched(0, 2, 60, { sentAt: 5 }),
        started("a", 1),
        fetched(2, 4, 60, { sentAt: 6 })
      ]),
      "a first batch that is larger than what was asked for": past([fetched(0, 2, 160, { sentAt: 5, excess: 60 })]),
      "one of each broker": past([
        fetched(0, 2, 160, { sentAt: 5, excess: 60 }),
        fetched(2, 4, 50, { sentAt: 5, excess: 50, broker: 2 })
      ]),
      "what was asked for before the assignment": past([fetched(0, 2, 160, { sentAt: 0 })]),
      "what it had before the next assignment": past([
        fetched(0, 2, 60, { sentAt: 5 }),
        assigned(2, "a-1"),
        synced("a-1", 2),
        20,
        fetched(2, 4, 60, { sentAt: 15 })
      ]),
      "what its last reader had": past([
        fetched(0, 2, 60, { sentAt: 5 }),
        restarted("a"),
        20,
        fetched(0, 2, 60, { sentAt: 15 })
      ]),
      "the same again": past([fetched(0, 2, 60, { sentAt: 5 }), fetched(0, 2, 60, { sentAt: 6 })]),
      "what is not its own": past([
        assigned(2, "b-2", "a-1"),
        synced("a-1", 2),
        20,
        fetched(0, 2, 160, { sentAt: 15 })
      ]),
      "what comes while it closes": past([member("Closing", "a"), 20, fetched(0, 2, 160, { sentAt: 15 })]),
      "what may have been told late": past([fetched(0, 2, 160, { sentAt: 5 })], { timersOvertake: true }),
      "a member without a bound": history([...joined, fetched(0, 2, 160, { sentAt: 5 })])
    },
    rejects: {
      "more than it may at once": past([fetched(0, 2, 101, { sentAt: 5 })]),
      "more than it may by and by": past([fetched(0, 2, 60, { sentAt: 5 }), fetched(2, 4, 60, { sentAt: 6 })]),
      "more than it may while a record before the last one is in hand": past([
        fetched(0, 2, 60, { sentAt: 5 }),
        started("a", 0),
        fetched(2, 4, 60, { sentAt: 6 })
      ]),
      "an excess that was not the last one": past([
        fetched(0, 2, 120, { sentAt: 5, excess: 20 }),
        fetched(2, 4, 20, { sentAt: 6 })
      ]),
      "what comes after the next assignment": past([
        assigned(2, "a-1"),
        synced("a-1", 2),
        20,
        fetched(0, 2, 120, { sentAt: 15 })
      ])
    }
  })
})
