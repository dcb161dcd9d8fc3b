import { describe } from "@effect/vitest"

import { acknowledgedIsLogged } from "../../../src/internal/simulation/checkers/acknowledgedIsLogged.ts"
import { bufferBound } from "../../../src/internal/simulation/checkers/bufferBound.ts"
import { failedNoIsAbsent } from "../../../src/internal/simulation/checkers/failedNoIsAbsent.ts"
import { noDuplicates } from "../../../src/internal/simulation/checkers/noDuplicates.ts"
import { nothingInvented } from "../../../src/internal/simulation/checkers/nothingInvented.ts"
import { oneOutcome } from "../../../src/internal/simulation/checkers/oneOutcome.ts"
import { order } from "../../../src/internal/simulation/checkers/order.ts"
import { rightPartition } from "../../../src/internal/simulation/checkers/rightPartition.ts"
import {
  abandoned,
  accepted,
  acknowledged,
  cases,
  failed,
  faultBegan,
  history,
  invoked,
  log,
  producerClosed,
  read,
  reported,
  reportedFailure,
  started,
  truncated
} from "./histories.ts"

describe("acknowledged-is-logged", () => {
  const leader = { producer: "leader" }
  cases(acknowledgedIsLogged, {
    accepts: {
      "a record at its place": history([invoked(7), 1, acknowledged(7, 0, 0)], { log: log(0, 7) }),
      "a report at its place": history([invoked(7, { producer: "reporting" }), 1, reported(7, 0, 0)], {
        log: log(0, 7)
      }),
      "an unknown offset": history([invoked(7), acknowledged(7, 0, undefined)], { log: log(0, 3, 7) }),
      "acks leader: copies, one of them at its place": history([invoked(7, leader), acknowledged(7, 0, 1, "leader")], {
        log: log(0, 7, 7, 7)
      }),
      "acks leader: a record that was truncated": history(
        [invoked(7, leader), 1, acknowledged(7, 0, 5, "leader"), 2, truncated(5)]
      ),
      "acks leader: a record that was truncated while the answer was on its way": history(
        [invoked(7, leader), 1, truncated(3), 2, acknowledged(7, 0, 5, "leader")]
      ),
      "acks none: a record that is lost": history(
        [invoked(7, { producer: "none" }), acknowledged(7, 0, undefined, "none")]
      )
    },
    rejects: {
      "a record that is gone": history([invoked(7), acknowledged(7, 0, 0)]),
      "a report of a record that is gone": history([invoked(7, { producer: "reporting" }), reported(7, 0, 0)]),
      "a record elsewhere": history([invoked(7), acknowledged(7, 0, 0)], { log: log(0, 3, 7) }),
      "a record in another partition": history([invoked(7), acknowledged(7, 0, 0)], { log: log(1, 7) }),
      "a record that is there twice": history([invoked(7), acknowledged(7, 0, 0)], { log: log(0, 7, 7) }),
      "a truncated record with acks all": history([invoked(7), 1, acknowledged(7, 0, 0), 2, truncated(0)]),
      "acks leader: a record that is gone": history([invoked(7, leader), acknowledged(7, 0, 0, "leader")]),
      "acks leader: a truncation behind it": history(
        [invoked(7, leader), 1, acknowledged(7, 0, 5, "leader"), 2, truncated(6)]
      ),
      "acks leader: a truncation in another partition": history(
        [invoked(7, leader), 1, acknowledged(7, 0, 5, "leader"), 2, truncated(0, 1)]
      ),
      "acks leader: a truncation before it was handed over": history(
        [truncated(0), 1, invoked(7, leader), acknowledged(7, 0, 5, "leader")]
      )
    }
  })
})

describe("failed-no-is-absent", () => {
  cases(failedNoIsAbsent, {
    accepts: {
      "a record that is not there": history([invoked(7), failed(7, "no")]),
      "a maybe that is there": history([invoked(7), failed(7, "maybe")], { log: log(0, 7) })
    },
    rejects: {
      "a record that is there": history([invoked(7), failed(7, "no")], { log: log(0, 7) }),
      "a reported one that is there": history(
        [invoked(7, { producer: "reporting" }), abandoned(7, "reporting"), reportedFailure(7, "no")],
        { log: log(0, 7) }
      ),
      "one that a handler was given": history([invoked(7), failed(7, "no"), started("a", 0, 7)]),
      "one that a reader was given": history([invoked(7), failed(7, "no"), read(0, 7)])
    }
  })
})

describe("no-duplicates", () => {
  cases(noDuplicates, {
    accepts: {
      "a record that is there once": history([invoked(7)], { log: log(0, 7) }),
      "copies with acks leader": history([invoked(7, { producer: "leader" })], { log: log(0, 7, 7) })
    },
    rejects: {
      "a record that is there twice": history([invoked(7), failed(7, "maybe")], { log: log(0, 7, 3, 7) }),
      "one in two partitions": history([invoked(7), abandoned(7)], { log: [...log(0, 7), ...log(1, 7)] })
    }
  })
})

describe("order", () => {
  const inTurn = (...[first, second]: [number, number]) => [invoked(first), accepted(first), invoked(second)]
  const leader = [
    invoked(1, { producer: "leader" }),
    acknowledged(1, 0, 1, "leader"),
    invoked(2, { producer: "leader" }),
    acknowledged(2, 0, 2, "leader")
  ]
  const none = [
    invoked(1, { producer: "none" }),
    accepted(1, "none"),
    invoked(2, { producer: "none" }),
    accepted(2, "none")
  ]
  cases(order, {
    accepts: {
      "the order of acceptance": history(inTurn(1, 2), { log: log(0, 1, 2) }),
      "records that were under way together": history([invoked(1), invoked(2), accepted(1), accepted(2)], {
        log: log(0, 2, 1)
      }),
      "different partitions": history(inTurn(1, 2), { log: [...log(0, 3, 1), ...log(1, 2)] }),
      "different producers": history([invoked(1), accepted(1), invoked(2, { producer: "leader" })], {
        log: log(0, 2, 1)
      }),
      "acks leader: a copy of the first behind the second": history(leader, { log: log(0, 1, 1, 2, 1) }),
      "acks leader: an earlier attempt of the second before the first": history(leader, { log: log(0, 2, 1, 2) }),
      "acks leader: an earlier record without an acknowledgement": history(
        [invoked(1, { producer: "leader" }), failed(1, "maybe", "leader"), invoked(2, { producer: "leader" })],
        { log: log(0, 2, 1) }
      ),
      "acks leader: an earlier record that was truncated, and written again": history([...leader, 5, truncated(1)], {
        log: log(0, 5, 2, 1)
      }),
      "acks none: any order, if something was broken": history([faultBegan(), ...none], { log: log(0, 2, 1) }),
      "lanes: those of different ones": history([invoked(1, { lane: 1 }), invoked(2, { lane: 2 })], {
        log: log(0, 2, 1)
      })
    },
    rejects: {
      "the wrong order": history(inTurn(1, 2), { log: log(0, 2, 1) }),
      "the wrong order after an acknowledgement": history([invoked(1), acknowledged(1, 0, 1), invoked(2)], {
        log: log(0, 2, 1)
      }),
      "the wrong order after an interruption": history([invoked(1), abandoned(1), invoked(2)], { log: log(0, 2, 1) }),
      "the wrong order after a report": history(
        [invoked(1, { producer: "reporting" }), reported(1, 0, 1), invoked(2, { producer: "reporting" })],
        { log: log(0, 2, 1) }
      ),
      "the wrong order after a maybe": history([invoked(1), failed(1, "maybe"), invoked(2)], { log: log(0, 2, 1) }),
      "one far behind": history([invoked(1), accepted(1), invoked(2), accepted(2), invoked(3)], {
        log: log(0, 3, 1, 2)
      }),
      "acks leader: the wrong order of acknowledged places": history([
        invoked(1, { producer: "leader" }),
        acknowledged(1, 0, 1, "leader"),
        invoked(2, { producer: "leader" }),
        acknowledged(2, 0, 0, "leader")
      ], { log: log(0, 2, 1) }),
      "acks none: the wrong order with nothing broken": history(none, { log: log(0, 2, 1) }),
      "lanes: the wrong order in one": history([invoked(1, { lane: 1 }), invoked(2, { lane: 1 })], {
        log: log(0, 2, 1)
      })
    }
  })
})

describe("one-outcome", () => {
  const reporting = { producer: "reporting" }
  const acceptedOne = [invoked(7, reporting), accepted(7, "reporting")]
  cases(oneOutcome, {
    accepts: {
      "one told": history([invoked(7), accepted(7), acknowledged(7, 0, 0)]),
      "the same told twice over": history(
        [...acceptedOne, reported(7, 0, 0), acknowledged(7, 0, 0, "reporting")],
        { log: log(0, 7) }
      ),
      "failures that agree": history([...acceptedOne, failed(7, "maybe", "reporting"), reportedFailure(7, "maybe")]),
      "whoever stopped waiting": history([...acceptedOne, abandoned(7, "reporting"), reported(7, 0, 0)]),
      "a record that was refused, without a report": history([invoked(7, reporting), failed(7, "no", "reporting")]),
      "a record that was withdrawn, without a report": history([invoked(7, reporting), abandoned(7, "reporting")]),
      "a record of a sink": history([invoked(7, reporting), reported(7, 0, 0)], { log: log(0, 7) }),
      "a sender told after its producer was closed": history(
        [...acceptedOne, reportedFailure(7, "no"), producerClosed("reporting"), failed(7, "no", "reporting")]
      )
    },
    rejects: {
      "no outcome": history([invoked(7), accepted(7)]),
      "two outcomes": history([invoked(7), accepted(7), acknowledged(7, 0, 0), acknowledged(7, 0, 0)]),
      "an outcome after an interruption": history([invoked(7), abandoned(7), acknowledged(7, 0, 0)]),
      "no report": history([...acceptedOne, acknowledged(7, 0, 0, "reporting")]),
      "no report of a record that is there": history([invoked(7, reporting), abandoned(7, "reporting")], {
        log: log(0, 7)
      }),
      "no report of a maybe": history([invoked(7, reporting), failed(7, "maybe", "reporting")]),
      "two reports": history(
        [...acceptedOne, acknowledged(7, 0, 0, "reporting"), reported(7, 0, 0), reported(7, 0, 0)]
      ),
      "two reports of one that was refused": history(
        [invoked(7, reporting), failed(7, "no", "reporting"), reportedFailure(7, "no"), reportedFailure(7, "no")]
      ),
      "another offset": history([...acceptedOne, acknowledged(7, 0, 0, "reporting"), reported(7, 0, 1)]),
      "another partition": history([...acceptedOne, acknowledged(7, 0, 0, "reporting"), reported(7, 1, 0)]),
      "another certainty": history([...acceptedOne, failed(7, "maybe", "reporting"), reportedFailure(7, "no")]),
      "a success and a failure": history(
        [...acceptedOne, acknowledged(7, 0, 0, "reporting"), reportedFailure(7, "maybe")]
      ),
      "a report after its producer was closed": history(
        [...acceptedOne, acknowledged(7, 0, 0, "reporting"), producerClosed("reporting"), reported(7, 0, 0)]
      ),
      "a report without a handler": history([invoked(7), accepted(7), acknowledged(7, 0, 0), reported(7, 0, 0, "all")])
    }
  })
})

describe("right-partition", () => {
  cases(rightPartition, {
    accepts: {
      "the chosen one": history([invoked(7, { partition: 2 }), acknowledged(7, 2, 0)], { log: log(2, 7) }),
      "any, if none was chosen": history([invoked(7), acknowledged(7, 2, 0)], { log: log(2, 7) }),
      "copies in the same one": history([invoked(7, { producer: "leader" })], { log: log(2, 7, 7) })
    },
    rejects: {
      "another one": history([invoked(7, { partition: 2 })], { log: log(1, 7) }),
      "an acknowledgement in another one": history([invoked(7, { partition: 2 }), acknowledged(7, 1, 0)]),
      "a report in another one": history([invoked(7, { partition: 2, producer: "reporting" }), reported(7, 1, 0)]),
      "two of them": history([invoked(7, { producer: "leader" })], { log: [...log(1, 7), ...log(2, 7)] }),
      "one that is not the acknowledged one": history([invoked(7), acknowledged(7, 1, 0)], { log: log(2, 7) })
    }
  })
})

describe("nothing-invented", () => {
  cases(nothingInvented, {
    accepts: {
      "what was handed over": history([invoked(7), accepted(7), acknowledged(7, 0, 0), read(0, 7)], { log: log(0, 7) })
    },
    rejects: {
      "a record from nowhere": history([], { log: log(0, 7) }),
      "an outcome of a record from nowhere": history([acknowledged(7, 0, 0)]),
      "a record that is read before it is handed over": history([started("a", 0, 7), invoked(7)], { log: log(0, 7) })
    }
  })
})

describe("buffer-bound", () => {
  const many = (sizes: ReadonlyArray<number>) =>
    sizes.flatMap((size, record) => [invoked(record, { size }), accepted(record)])
  cases(bufferBound, {
    accepts: {
      "as much as fits": history([...many([50, 50]), 1, acknowledged(0, 0, 0)]),
      "one that is larger, alone": history([...many([150]), 1, acknowledged(0, 0, 0)]),
      "one that makes room at the same instant": history(
        [...many([60]), 1, invoked(1, { size: 60 }), accepted(1), acknowledged(0, 0, 0), 2, acknowledged(1, 0, 1)]
      ),
      "an outcome that is known before the acceptance": history([
        invoked(0, { size: 90 }),
        acknowledged(0, 0, 0),
        accepted(0),
        1,
        invoked(1, { size: 90 }),
        accepted(1)
      ]),
      "one that is known from its report": history(
        [...many([60]), 1, reported(0, 0, 0, "all"), 2, invoked(1, { size: 60 }), accepted(1)]
      ),
      "records of several producers": history(
        [invoked(0, { size: 90 }), accepted(0), invoked(1, { size: 90, producer: "leader" }), accepted(1, "leader")]
      ),
      "too much, where senders may hear of it late": history(many([60, 60]), { timersOvertake: true })
    },
    rejects: {
      "too much": history([...many([50, 50, 1]), 1, acknowledged(0, 0, 0)]),
      "too much at the end": history(many([60, 60])),
      "a large one that is not alone": history([...many([10, 150]), 1]),
      "too much later on": history([
        ...many([60]),
        1,
        acknowledged(0, 0, 0),
        invoked(1, { size: 60 }),
        accepted(1),
        2,
        invoked(2, { size: 60 }),
        accepted(2),
        3,
        acknowledged(1, 0, 1)
      ])
    }
  })
})
