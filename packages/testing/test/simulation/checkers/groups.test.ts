import { describe } from "@effect/vitest"

import { commitNotBackwards } from "../../../src/internal/simulation/checkers/commitNotBackwards.ts"
import { commitNotPastProcessed } from "../../../src/internal/simulation/checkers/commitNotPastProcessed.ts"
import { commitOnlyOwned } from "../../../src/internal/simulation/checkers/commitOnlyOwned.ts"
import { duplicatesOnlyAfterLoss } from "../../../src/internal/simulation/checkers/duplicatesOnlyAfterLoss.ts"
import { notExpelledWhenHealthy } from "../../../src/internal/simulation/checkers/notExpelledWhenHealthy.ts"
import { oneOwner } from "../../../src/internal/simulation/checkers/oneOwner.ts"
import {
  absent,
  assigned,
  cases,
  committed,
  expelled,
  faultBegan,
  faultEnded,
  fetched,
  handled,
  handlerEnded,
  healed,
  history,
  log,
  member,
  processed,
  restarted,
  silenceBegan,
  silenceEnded,
  silenceFelt,
  started,
  synced
} from "./histories.ts"

const full = { log: log(0, 0, 10, 20, 30, 40, 50, 60, 70) }
const taken = [assigned(1, "a-1", "b-2"), synced("a-1", 1), synced("b-2", 1)]
const given = [assigned(2, undefined, "a-1", "b-2"), synced("a-1", 2), synced("b-2", 2)]
const moved = [...given, assigned(3, "b-2", "a-1"), synced("a-1", 3), synced("b-2", 3)]

describe("commit-not-past-processed", () => {
  const at10 = { sentAt: 10 }
  cases(commitNotPastProcessed, {
    accepts: {
      "what is processed": history([...handled("a", 0, 1), 12, committed("a-1", 1, 2, at10)], {
        ...full,
        committed: new Map([[0, 2]])
      }),
      "what another one processed": history(
        [...handled("b", 0), ...handled("a", 1), 12, committed("a-1", 1, 2, at10)],
        full
      ),
      "processed in another order": history(
        [...handled("a", 1), ...handled("b", 0), 12, committed("a-1", 1, 2, at10)],
        full
      ),
      "the beginning": history([committed("a-1", 1, 0, { sentAt: 0 })], full),
      "the end": history([...handled("a", 0, 1, 2, 3, 4, 5, 6, 7), 12, committed("a-1", 1, 8, at10)], full),
      "offsets that are not in the log": history([...handled("a", 0), 12, committed("a-1", 1, 3, at10)], {
        log: full.log.filter(({ offset }) => offset !== 1 && offset !== 2)
      }),
      "a refused one": history([committed("a-1", 1, 5, { ...at10, errorCode: 22 })], full),
      "a history without members": history([], { ...full, members: [], committed: new Map([[0, 3]]) })
    },
    rejects: {
      "one too far": history([...handled("a", 0, 1), 12, committed("a-1", 1, 3, at10)], full),
      "a record that is only begun": history(
        [...handled("a", 0), started("a", 1), 12, committed("a-1", 1, 2, at10)],
        full
      ),
      "one left out before": history([...handled("a", 1, 2), 12, committed("a-1", 1, 3, at10)], full),
      "a record that is processed while the commit is on its way": history(
        [...handled("a", 0), started("a", 1), 14, processed("a", 1), 15, committed("a-1", 1, 2, at10)],
        full
      ),
      "past the end of the log": history(
        [...handled("a", 0, 1, 2, 3, 4, 5, 6, 7), 12, committed("a-1", 1, 9, at10)],
        full
      ),
      "a partition without a log": history([committed("a-1", 1, 1, at10)]),
      "what is stored in the end": history([...handled("a", 0)], { ...full, committed: new Map([[0, 2]]) })
    }
  })
})

describe("commit-not-backwards", () => {
  const end = (offset: number) => ({ committed: new Map([[0, offset]]) })
  const first = committed("a-1", 1, 5, { sentAt: 10 })
  cases(commitNotBackwards, {
    accepts: {
      "forward, and the same again": history(
        [first, committed("a-1", 1, 5, { sentAt: 20 }), committed("b-2", 2, 7, { sentAt: 30 })],
        end(7)
      ),
      "a refused one": history([first, committed("a-1", 1, 3, { sentAt: 20, errorCode: 22 })], end(5)),
      "one that was overtaken": history(
        [first, committed("a-1", 1, 3, { sentAt: 5 }), committed("b-2", 2, 4, { sentAt: 30 })],
        end(4)
      )
    },
    rejects: {
      "backwards by the same": history([first, committed("a-1", 1, 4, { sentAt: 20 })], end(4)),
      "backwards by another one": history([first, committed("b-2", 2, 4, { sentAt: 20 })], end(4)),
      "an older one of another member": history([first, committed("b-2", 2, 4, { sentAt: 5 })], end(4)),
      "less in the end": history([first], end(4)),
      "nothing in the end": history([first])
    }
  })
})

describe("commit-only-owned", () => {
  const now = { sentAt: 0 }
  cases(commitOnlyOwned, {
    accepts: {
      "its own": history([...taken, committed("a-1", 1, 1, now)]),
      "the last owner's, in the generation that gives it to nobody": history([
        ...taken,
        ...given,
        committed("a-1", 2, 1, now)
      ]),
      "the next owner's": history([...taken, ...moved, committed("b-2", 3, 1, now)]),
      "refused ones of others": history([...taken, committed("b-2", 1, 1, { sentAt: 0, errorCode: 27 })]),
      "one of a generation whose assignment was not seen": history([...taken, committed("a-1", 2, 1, now)]),
      "one without a generation": history([...taken, committed("", -1, 1, now)]),
      "one that was sent before its member was told of the next generation": history(
        [...taken, 10, ...given, 11, committed("a-1", 1, 1, { sentAt: 5, errorCode: 22 })]
      ),
      "one of an earlier generation, if something was broken": history(
        [faultBegan(), ...taken, 10, ...given, 12, committed("a-1", 1, 1, { sentAt: 11, errorCode: 22 })]
      )
    },
    rejects: {
      "another one's": history([...taken, committed("b-2", 1, 1, now)]),
      "nobody's, by one that never had it": history([...taken, ...given, committed("b-2", 2, 1, now)]),
      "the last owner's, when it is another one's": history([...taken, ...moved, committed("a-1", 3, 1, now)]),
      "an accepted one of a generation that is over": history([...taken, ...given, committed("a-1", 1, 1, now)]),
      "one of an earlier generation than its member's": history(
        [...taken, 10, ...given, 12, committed("a-1", 1, 1, { sentAt: 11, errorCode: 22 })]
      )
    }
  })
})

describe("duplicates-only-after-loss", () => {
  const byA = [...taken, ...handled("a", 0)]
  /** A stream that may have a record in its hands while another member has its partition for a while. */
  const streamAway = (inHand: boolean, ...meanwhile: ReadonlyArray<number>) => [
    assigned(1, "b-2", "a-1"),
    synced("a-1", 1),
    synced("b-2", 1),
    fetched(0, 2, 1, { member: "b", sentAt: 0 }),
    ...(inHand ? [started("b", 0)] : handled("b", 0)),
    assigned(2, undefined, "a-1", "b-2"),
    synced("a-1", 2),
    synced("b-2", 2),
    assigned(3, "a-1", "b-2"),
    synced("a-1", 3),
    synced("b-2", 3),
    600,
    ...handled("a", ...meanwhile),
    assigned(4, "b-2", "a-1"),
    synced("b-2", 4),
    ...(inHand ? [processed("b", 0)] : [])
  ]
  cases(duplicatesOnlyAfterLoss, {
    accepts: {
      "each once": history([...byA, ...moved, ...handled("b", 1)], full),
      "again after the handler failed": history(
        [...taken, started("a", 0), handlerEnded("a", 0, "failed"), ...handled("a", 0)],
        full
      ),
      "again after the reader began again": history([...byA, restarted("a"), ...handled("a", 0)], full),
      "by another one, if it was not processed": history(
        [...taken, started("a", 0), handlerEnded("a", 0, "interrupted"), ...moved, ...handled("b", 0)],
        full
      ),
      "by another one, if something was broken": history(
        [...byA, 10, faultBegan(), 20, faultEnded(), ...moved, ...handled("b", 0)],
        full
      ),
      "by another one, if a handler took too long": history([
        ...byA,
        started("a", 0, 5, 1),
        ...given,
        400,
        processed("a", 0, 5, 1),
        ...moved,
        ...handled("b", 0)
      ], full),
      "by another one, after a stream that commits by itself": history([...byA, ...moved, ...handled("b", 0)], {
        ...full,
        runs: []
      }),
      "by a stream that still has it in its chunk": history([
        assigned(1, "b-2", "a-1"),
        synced("a-1", 1),
        synced("b-2", 1),
        assigned(2, undefined, "a-1", "b-2"),
        synced("a-1", 2),
        synced("b-2", 2),
        assigned(3, "a-1", "b-2"),
        synced("a-1", 3),
        600,
        ...handled("a", 0),
        ...handled("b", 0)
      ], full),
      "by a stream that still has it in its chunk, when the partition is its own again": history(
        [...streamAway(true, 0, 1), ...handled("b", 1)],
        full
      ),
      "by a reader too": history([...byA, { _tag: "Read", reader: "reader", partition: 0, offset: 0, record: 0 }], full)
    },
    rejects: {
      "again for nothing": history([...byA, ...handled("a", 0)], full),
      "by a stream that has its partition back, and had nothing in hand": history(
        [...streamAway(false, 1), ...handled("b", 1)],
        full
      ),
      "by a stream that has its partition back, and does not go on in its chunk": history(
        [...streamAway(true, 0, 1, 2), ...handled("b", 2)],
        full
      ),
      "by a stream that has its partition back, and goes on past what it had fetched": history(
        [...streamAway(true, 0, 1, 2), ...handled("b", 1, 2)],
        full
      ),
      "by a stream that has its partition back once more, and had nothing in hand this time": history([
        ...streamAway(true, 0),
        fetched(1, 3, 1, { member: "b", sentAt: 0 }),
        ...handled("b", 1),
        assigned(5, "a-1", "b-2"),
        synced("b-2", 5),
        synced("a-1", 5),
        1200,
        ...handled("a", 2),
        assigned(6, "b-2", "a-1"),
        synced("b-2", 6),
        ...handled("b", 2)
      ], full),
      "by a stream that has its partition back, and is done with its chunk": history(
        [...streamAway(true, 0, 1), started("b", 0, 5, 1), processed("b", 0, 5, 1), ...handled("b", 1)],
        full
      ),
      "again after a rebalance that left it alone": history(
        [...byA, assigned(2, "a-1", "b-2"), synced("a-1", 2), ...handled("a", 0)],
        full
      ),
      "by another one, though it was processed": history([...byA, ...moved, ...handled("b", 0)], full),
      "by another one, though something was broken for that one only": history(
        [faultBegan(1, ["b"]), ...byA, ...moved, ...handled("b", 0)],
        full
      ),
      "by another one, though it was processed before a close": history(
        [
          ...byA,
          member("Closing", "a"),
          member("Closed", "a"),
          assigned(2, "b-2"),
          synced("b-2", 2),
          ...handled("b", 0)
        ],
        full
      ),
      "again long after a fault": history(
        [faultBegan(), faultEnded(), 9000, ...byA, 9010, ...moved, ...handled("b", 0)],
        full
      )
    }
  })
})

describe("one-owner", () => {
  const running = [...taken, started("a", 0)]
  const runningStream = [assigned(1, "b-2", "a-1"), synced("a-1", 1), synced("b-2", 1), started("b", 0)]
  const toA = [
    assigned(2, undefined, "a-1", "b-2"),
    synced("a-1", 2),
    synced("b-2", 2),
    assigned(3, "a-1", "b-2"),
    synced("a-1", 3)
  ]
  cases(oneOwner, {
    accepts: {
      "one after the other": history([...running, processed("a", 0), ...moved, started("b", 1)], full),
      "a member that was expelled": history(
        [...running, expelled("a-1"), assigned(2, "b-2"), synced("b-2", 2), started("b", 0)],
        full
      ),
      "a member that is expelled by its id and back by another": history(
        [...running, expelled("a-1"), assigned(2, "b-2", "a-3"), synced("b-2", 2), synced("a-3", 2), started("b", 0)],
        full
      ),
      "a member that is not in the generation": history(
        [...running, assigned(2, "b-2"), synced("b-2", 2), started("b", 0)],
        full
      ),
      "a member that has closed": history([...running, member("Closed", "a"), ...moved, started("b", 0)], full),
      "an expelled one that goes on beside the next owner": history(
        [...taken, assigned(2, "b-2"), synced("b-2", 2), started("b", 0), started("a", 0)],
        full
      ),
      "a static member that has not joined the generation": history(
        [...running, absent("a-1"), assigned(2, "b-2", "a-1"), synced("b-2", 2), started("b", 0)],
        full
      ),
      "a stream when its time is over": history([...runningStream, ...toA, 600, started("a", 0)], full),
      "a stream when its time is over, though it was told of more generations": history([
        ...runningStream,
        ...toA.slice(0, 3),
        550,
        ...toA.slice(3),
        synced("b-2", 3),
        600,
        started("a", 0)
      ], full),
      "a stream that takes the next of its chunk when its time is over": history([
        ...runningStream,
        ...toA,
        processed("b", 0),
        600,
        started("a", 0),
        started("b", 1)
      ], full),
      "a stream that had its partition back for a while, and never asked for more": history([
        ...runningStream,
        ...toA,
        assigned(4, "b-2", "a-1"),
        synced("b-2", 4),
        580,
        assigned(5, undefined, "a-1", "b-2"),
        synced("b-2", 5),
        assigned(6, "a-1", "b-2"),
        synced("a-1", 6),
        600,
        started("a", 0)
      ], full),
      "a stream, if something was broken": history([faultBegan(), ...runningStream, ...toA, started("a", 0)], full),
      "different partitions": history([
        { _tag: "Assigned", generation: 1, partitions: new Map([["a-1", [0]], ["b-2", [1]]]) },
        synced("a-1", 1),
        synced("b-2", 1),
        started("a", 0),
        started("b", 0, 5, 1)
      ], full)
    },
    rejects: {
      "both at a time": history([...running, ...moved, started("b", 1)], full),
      "both at a time, though something was broken": history(
        [faultBegan(), ...running, ...moved, started("b", 1)],
        full
      ),
      "the next of a stream's chunk before its time is over": history([
        ...runningStream,
        ...toA,
        processed("b", 0),
        20,
        started("a", 0),
        started("b", 1)
      ], full),
      "a run that takes another one when the partition is another's": history(
        [...taken, ...moved, 600, started("b", 0), started("a", 1)],
        full
      ),
      "a static member that had not joined a generation, and has joined since": history(
        [
          ...taken,
          absent("a-1"),
          assigned(2, "a-1", "b-2"),
          synced("a-1", 2),
          started("a", 0),
          ...moved,
          started("b", 1)
        ],
        full
      ),
      "a stream before its time is over": history([...runningStream, ...toA, 20, started("a", 0)], full),
      "a stream that began after it had its partition back": history([
        ...runningStream,
        ...toA,
        processed("b", 0),
        100,
        assigned(4, "b-2", "a-1"),
        synced("b-2", 4),
        started("b", 0),
        580,
        assigned(5, undefined, "a-1", "b-2"),
        synced("b-2", 5),
        assigned(6, "a-1", "b-2"),
        synced("a-1", 6),
        600,
        started("a", 0)
      ], full),
      "a partition that was never assigned": history([...taken, started("b", 0)], full)
    }
  })
})

describe("not-expelled-when-healthy", () => {
  cases(notExpelledWhenHealthy, {
    accepts: {
      "while something is broken": history([faultBegan(), 100, expelled("a-1")]),
      "while something is broken for it": history([faultBegan(1, ["a"]), 100, expelled("a-1")]),
      "while it has a silent connection": history([silenceBegan("a"), 9000, expelled("a-1", "join")]),
      "while it waits for an answer over a silent connection": history([
        silenceBegan("a"),
        8000,
        silenceFelt(11_000),
        11_500,
        expelled("a-1", "join")
      ]),
      "when it waited for an answer over a silent connection of late": history([
        silenceBegan("a"),
        silenceFelt(3000),
        4900,
        expelled("a-1", "join")
      ]),
      "when it had a silent connection of late": history([
        silenceBegan("a"),
        9000,
        silenceEnded,
        9500,
        expelled("a-1")
      ]),
      "when it was broken of late": history([faultBegan(), faultEnded(), 1500, expelled("a-1", "join")]),
      "a fault that ends when all is healed": history([faultBegan(), 9000, healed, 9500, expelled("a-1")]),
      "one that has closed": history([member("Closing", "a"), member("Closed", "a"), 20, expelled("a-1")]),
      "one that is closing and joins no more": history([member("Closing", "a"), 20, expelled("a-1", "join")])
    },
    rejects: {
      "with nothing broken": history([...taken, 2000, expelled("a-1")]),
      "while something is broken for others": history([faultBegan(1, ["b"]), 100, expelled("a-1")]),
      "while something is broken for no member": history([faultBegan(1, []), 100, expelled("a-1")]),
      "while another one has a silent connection": history([silenceBegan("b"), 100, expelled("a-1")]),
      "long after it had to know of a silent connection": history([
        silenceBegan("a"),
        silenceFelt(3000),
        9000,
        expelled("a-1", "join")
      ]),
      "long after it had to know of a silent connection, and closed it late": history([
        silenceBegan("a"),
        silenceFelt(3000),
        8500,
        silenceEnded,
        9000,
        expelled("a-1", "join")
      ]),
      "long after it had a silent connection": history([silenceBegan("a"), 10, silenceEnded, 9000, expelled("a-1")]),
      "after more than a session and a rebalance": history([faultBegan(), faultEnded(), 2500, expelled("a-1")]),
      "before anything was broken": history([expelled("a-1", "sync"), 10, faultBegan()]),
      "long after": history([faultBegan(), faultEnded(), 9000, expelled("a-1")]),
      "long after all is healed": history([faultBegan(), 10, healed, 9000, expelled("a-1")]),
      "one that drains": history([member("Closing", "a"), 2000, expelled("a-1")]),
      "one that came back": history([member("Closed", "a"), member("Started", "a"), 2000, expelled("a-1")])
    }
  })
})
