import { describe } from "@effect/vitest"

import { inOrder } from "../../../src/internal/simulation/checkers/inOrder.ts"
import { nothingSkipped } from "../../../src/internal/simulation/checkers/nothingSkipped.ts"
import { processedIsLogged } from "../../../src/internal/simulation/checkers/processedIsLogged.ts"
import {
  assigned,
  cases,
  expelled,
  faultBegan,
  faultEnded,
  handled,
  handlerEnded,
  history,
  log,
  member,
  processed,
  read,
  restarted,
  started,
  synced,
  truncated
} from "./histories.ts"

/** Partition 0 has eight records, by their ids 0, 10, 20, … */
const full = { log: log(0, 0, 10, 20, 30, 40, 50, 60, 70) }
const taken = [assigned(1, "a-1", "b-2"), synced("a-1", 1), synced("b-2", 1)]

describe("processed-is-logged", () => {
  cases(processedIsLogged, {
    accepts: {
      "what is there": history([...handled("a", 0, 1), read(0)], full),
      "what is before a truncation": history([started("a", 1), truncated(2)], full),
      "what comes after a truncation": history([truncated(0), started("a", 1)], full)
    },
    rejects: {
      "another record": history([started("a", 1, 99)], full),
      "an offset that is not there": history([read(9, 90)], full),
      "another partition": history([processed("a", 0, 0, 1)], full),
      "a truncation of what a handler was given": history([started("a", 2), truncated(2)], full),
      "a truncation of what a reader was given": history([read(2), truncated(1)], full)
    }
  })
})

describe("nothing-skipped", () => {
  const all = handled("a", 0, 1, 2, 3, 4, 5, 6)
  cases(nothingSkipped, {
    accepts: {
      "all processed, by several": history([...all, ...handled("b", 7)], full),
      "some processed twice": history([...all, ...handled("b", 6, 7)], full),
      "a history without members": history([], { ...full, members: [] })
    },
    rejects: {
      "one left out": history(all, full),
      "one that was only begun": history([...all, started("b", 7)], full),
      "a partition that nobody had": history([...all, ...handled("b", 7)], { log: [...full.log, ...log(1, 5)] })
    }
  })
})

describe("in-order", () => {
  const others = [assigned(2, undefined, "a-1", "b-2"), synced("a-1", 2), assigned(3, "b-2", "a-1"), synced("a-1", 3)]
  const back = [assigned(4, undefined, "a-1", "b-2"), synced("a-1", 4), assigned(5, "a-1", "b-2"), synced("a-1", 5)]
  const kept = [assigned(2, "a-1", "b-2"), synced("a-1", 2)]
  const streams = { ...full, runs: [] }
  cases(inOrder, {
    accepts: {
      "one after the other": history([...taken, ...handled("a", 0, 1, 2)], full),
      "any start": history([...taken, ...handled("a", 3, 4)], full),
      "gaps that are in the log too": history([...taken, ...handled("a", 0, 1), started("a", 4)], {
        log: full.log.filter(({ offset }) => offset !== 2 && offset !== 3)
      }),
      "members each by itself": history(
        [...taken, ...handled("a", 0, 1), ...handled("b", 1), ...handled("a", 2)],
        full
      ),
      "a reader that begins again": history(
        [...taken, ...handled("a", 0, 1), restarted("a"), ...handled("a", 1)],
        full
      ),
      "a member that comes back": history(
        [...taken, ...handled("a", 0), member("Closed", "a"), member("Started", "a"), ...handled("a", 4)],
        full
      ),
      "a handler that failed": history(
        [...taken, started("a", 0), handlerEnded("a", 0, "failed"), ...handled("a", 0, 1)],
        full
      ),
      "a partition that another one had meanwhile": history(
        [...taken, ...handled("a", 0), ...others, ...handled("b", 1, 2), ...back, ...handled("a", 3)],
        full
      ),
      "a rebalance that leaves it alone": history([...taken, ...handled("a", 0), ...kept, ...handled("a", 1)], full),
      "a partition that was taken anew after an expulsion": history([
        ...taken,
        ...handled("a", 0, 1),
        expelled("a-1"),
        assigned(2, "a-3"),
        synced("a-3", 2),
        ...handled("a", 1)
      ], full),
      "a partition that may have been lost when something was broken": history(
        [...taken, ...handled("a", 0, 1), 10, faultBegan(), 20, faultEnded(), 30, ...kept, ...handled("a", 0)],
        full
      ),
      "a partition that was given up when another handler took too long": history([
        ...taken,
        ...handled("a", 0, 1),
        started("a", 0, 5, 1),
        10,
        handlerEnded("a", 0, "interrupted", 1),
        ...kept,
        ...handled("a", 1)
      ], { ...full, cooperative: false }),
      "a stream that goes on with its chunk after a loss": history(
        [...taken, ...handled("a", 0), 10, faultBegan(), faultEnded(), ...kept, ...handled("a", 1, 2, 1)],
        streams
      ),
      "a stream without a cooperative assignor": history(
        [...taken, ...handled("a", 0, 1), ...kept, ...handled("a", 0)],
        {
          ...streams,
          cooperative: false
        }
      )
    },
    rejects: {
      "one left out": history([...taken, ...handled("a", 0, 2)], full),
      "one again": history([...taken, ...handled("a", 0, 0)], full),
      "one backwards": history([...taken, ...handled("a", 1, 0)], full),
      "one left out by a reader": history([read(0), read(2)], full),
      "one left out after a rebalance that leaves it alone": history(
        [...taken, ...handled("a", 0), ...kept, ...handled("a", 2)],
        full
      ),
      "one left out by a stream that kept it": history(
        [...taken, ...handled("a", 0), ...kept, ...handled("a", 2)],
        streams
      ),
      "one again, when all was taken and nothing was broken": history(
        [...taken, ...handled("a", 0), ...kept, ...handled("a", 0)],
        { ...full, cooperative: false }
      ),
      "a second leap after one loss": history(
        [...taken, ...handled("a", 0, 1), restarted("a"), ...handled("a", 1, 3)],
        full
      ),
      "one left out long after a fault": history([
        faultBegan(),
        faultEnded(),
        9000,
        ...taken,
        ...handled("a", 0),
        9010,
        ...kept,
        ...handled("a", 2)
      ], full)
    }
  })
})
