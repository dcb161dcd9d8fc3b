import { describe } from "@effect/vitest"

import { closeIsOrderly } from "../../../src/internal/simulation/checkers/closeIsOrderly.ts"
import { nothingLeft } from "../../../src/internal/simulation/checkers/nothingLeft.ts"
import { progress } from "../../../src/internal/simulation/checkers/progress.ts"
import {
  accepted,
  acknowledged,
  cases,
  committed,
  failed,
  handlerEnded,
  healed,
  history,
  invoked,
  log,
  member,
  producerClosed,
  reported,
  started
} from "./histories.ts"

describe("progress", () => {
  cases(progress, {
    accepts: {
      "soon after": history([100, healed], { settledAt: 1100 }),
      "before": history([100, healed], { settledAt: 50 }),
      "when nothing was ever broken": history([], { settledAt: 5000 })
    },
    rejects: {
      "never": history([100, healed], { settledAt: undefined }),
      "never, and never healed": history([], { settledAt: undefined }),
      "late": history([100, healed], { settledAt: 1101 })
    }
  })
})

describe("nothing-left", () => {
  cases(nothingLeft, {
    accepts: { "nothing": history([]) },
    rejects: { "a fiber": history([], { leftovers: ["a fiber"] }) }
  })
})

describe("close-is-orderly", () => {
  const closedA = [member("Closing", "a"), member("Closed", "a")]
  cases(closeIsOrderly, {
    accepts: {
      "outcomes before": history([invoked(7), accepted(7), acknowledged(7, 0, 0), producerClosed()]),
      "a sender that is told at the same instant": history([invoked(7), producerClosed(), failed(7, "no")]),
      "a sender that is told later, where timers overtake": history(
        [invoked(7), producerClosed(), 1, failed(7, "no")],
        {
          timersOvertake: true
        }
      ),
      "a record that is refused": history([producerClosed(), 5, invoked(7), failed(7, "no")]),
      "another producer": history([producerClosed(), 5, invoked(7, { producer: "leader" }), accepted(7, "leader")]),
      "a handler that ends late": history([started("a", 0), ...closedA, 5, handlerEnded("a", 0, "interrupted")]),
      "a member that starts again": history([...closedA, 5, member("Started", "a"), started("a", 0)]),
      "a stream that goes on with its chunk": history([member("Closed", "b"), 5, started("b", 0)]),
      "a commit that arrives late": history([...closedA, 5, committed("a-1", 1, 1, { sentAt: 0 })])
    },
    rejects: {
      "a report": history([invoked(7, { producer: "reporting" }), producerClosed("reporting"), reported(7, 0, 0)]),
      "a sender that is told later": history([invoked(7), producerClosed(), 1, failed(7, "no")]),
      "a record that is accepted": history([producerClosed(), invoked(7), accepted(7)]),
      "a record that is acknowledged": history([producerClosed(), invoked(7), acknowledged(7, 0, 0)]),
      "a record that may be written": history([producerClosed(), invoked(7), failed(7, "maybe")]),
      "a record that is written": history([producerClosed(), invoked(7), failed(7, "no")], { log: log(0, 7) }),
      "a record for a handler": history([...closedA, started("a", 0)]),
      "a commit": history([...closedA, 5, committed("a-1", 1, 1, { sentAt: 4 })])
    }
  })
})
