import { describe } from "@effect/vitest"

import { acknowledgedIsLogged } from "../../../src/internal/simulation/checkers/acknowledgedIsLogged.ts"
import { bufferBound } from "../../../src/internal/simulation/checkers/bufferBound.ts"
import { failedNoIsAbsent } from "../../../src/internal/simulation/checkers/failedNoIsAbsent.ts"
import { failsForAReason } from "../../../src/internal/simulation/checkers/failsForAReason.ts"
import { flushMeansDone } from "../../../src/internal/simulation/checkers/flushMeansDone.ts"
import { noDuplicates } from "../../../src/internal/simulation/checkers/noDuplicates.ts"
import { nothingInvented } from "../../../src/internal/simulation/checkers/nothingInvented.ts"
import { oneOutcome } from "../../../src/internal/simulation/checkers/oneOutcome.ts"
import { order } from "../../../src/internal/simulation/checkers/order.ts"
import { rightPartition } from "../../../src/internal/simulation/checkers/rightPartition.ts"
import { toldInTurn } from "../../../src/internal/simulation/checkers/toldInTurn.ts"
import type { ProducerFacts } from "../../../src/internal/simulation/history.ts"
import {
  abandoned,
  accepted,
  acknowledged,
  cases,
  failed,
  faultBegan,
  flushed,
  flushing,
  history,
  invoked,
  log,
  partitionsAdded,
  producerClosed,
  producerClosing,
  read,
  reported,
  reportedFailure,
  reportedWith,
  sinkDone,
  started,
  type Step,
  stored,
  topicDeleted,
  topicMade,
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
      "without idempotence: copies, one of them at its place": history(
        [invoked(7, { producer: "repeating" }), acknowledged(7, 0, 1, "repeating")],
        { log: log(0, 7, 7) }
      ),
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
      "without idempotence: a record that was truncated": history(
        [invoked(7, { producer: "repeating" }), acknowledged(7, 0, 0, "repeating"), 1, truncated(0)]
      ),
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
      "a record that is in another topic": history([invoked(7, { isAside: true }), failed(7, "no")], {
        logAside: log(0, 7)
      }),
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
      "copies without idempotence": history([invoked(7, { producer: "repeating" })], { log: log(0, 7, 7) }),
      "copies with acks leader": history([invoked(7, { producer: "leader" })], { log: log(0, 7, 7) })
    },
    rejects: {
      "a record that is there twice": history([invoked(7), failed(7, "maybe")], { log: log(0, 7, 3, 7) }),
      "one in two partitions": history([invoked(7), abandoned(7)], { log: [...log(0, 7), ...log(1, 7)] })
    }
  })
})

describe("order", () => {
  const aside = { isAside: true }
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
      "another topic": history([invoked(1, aside), acknowledged(1, 0, 5), invoked(2)], { log: log(0, 2) }),
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
      "without idempotence: a copy of the first behind the second": history([
        invoked(1, { producer: "repeating" }),
        acknowledged(1, 0, 0, "repeating"),
        invoked(2, { producer: "repeating" }),
        acknowledged(2, 0, 1, "repeating")
      ], { log: log(0, 1, 2, 1) }),
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
      "a report with its correlation": history(
        [
          invoked(7, { ...reporting, hasCorrelation: true }),
          accepted(7, "reporting"),
          acknowledged(7, 0, 0, "reporting"),
          reportedWith(7, 7)
        ],
        { log: log(0, 7) }
      ),
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
      "a report with the correlation of another record": history(
        [invoked(7, { ...reporting, hasCorrelation: true }), acknowledged(7, 0, 0, "reporting"), reportedWith(7, 8)],
        { log: log(0, 7) }
      ),
      "a report without the correlation": history(
        [invoked(7, { ...reporting, hasCorrelation: true }), acknowledged(7, 0, 0, "reporting"), reported(7, 0, 0)],
        { log: log(0, 7) }
      ),
      "a report with a correlation of a record that had none": history(
        [...acceptedOne, acknowledged(7, 0, 0, "reporting"), reportedWith(7, 7)],
        { log: log(0, 7) }
      ),
      "no outcome": history([invoked(7), accepted(7)]),
      "no outcome of a record for another topic": history([invoked(7, { isAside: true }), accepted(7)]),
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
  const keyed = { partition: 0, partitionOnceGrown: 3 }
  const facts = { partitions: 3, metadataMaxAge: 1000 }
  /** A record is handed over long after the topic has grown, and acknowledged, in an old partition perhaps. */
  const asked = (partition: number) => [
    5000,
    invoked(1, keyed),
    acknowledged(1, partition, 0),
    5001,
    invoked(7, keyed)
  ]
  cases(rightPartition, {
    accepts: {
      "the old one, before the topic grows": history(
        [invoked(7, keyed), acknowledged(7, 0, 0), 9, partitionsAdded(4)],
        {
          log: log(0, 7),
          ...facts
        }
      ),
      "the old one, while its producer may not know": history(
        [partitionsAdded(4), 500, invoked(7, keyed), acknowledged(7, 0, 0)],
        { log: log(0, 7), ...facts }
      ),
      "the new one, of a record that waited while the topic grew": history(
        [invoked(7, keyed), 5, partitionsAdded(4), 6, acknowledged(7, 3, 0)],
        { log: log(3, 7), ...facts }
      ),
      "the old one, of the first record of a producer that had nothing to send": history(
        [partitionsAdded(4), ...asked(0).slice(0, 3)],
        { log: log(0, 1), ...facts }
      ),
      "the old one, while something was broken": history([partitionsAdded(4), faultBegan(), ...asked(0)], {
        log: log(0, 1, 7),
        ...facts
      }),
      "the new one": history([partitionsAdded(4), ...asked(0)], { log: [...log(0, 1), ...log(3, 7)], ...facts }),
      "the chosen one": history([invoked(7, { partition: 2 }), acknowledged(7, 2, 0)], { log: log(2, 7) }),
      "any, if none was chosen": history([invoked(7), acknowledged(7, 2, 0)], { log: log(2, 7) }),
      "copies in the same one": history([invoked(7, { producer: "leader" })], { log: log(2, 7, 7) })
    },
    rejects: {
      "the new one, before the topic grows": history(
        [invoked(7, keyed), acknowledged(7, 3, 0), 9, partitionsAdded(4)],
        { log: log(3, 7), ...facts }
      ),
      "neither the old nor the new one": history(
        [partitionsAdded(4), 500, invoked(7, keyed), acknowledged(7, 1, 0)],
        { log: log(1, 7), ...facts }
      ),
      "the old one, when its producer must know": history([partitionsAdded(4), ...asked(0)], {
        log: log(0, 1, 7),
        ...facts
      }),
      "the old one, when its producer has used a new one": history(
        [partitionsAdded(4), 1, invoked(1, { partition: 3 }), acknowledged(1, 3, 0), 2, invoked(7, keyed)],
        { log: [...log(0, 7), ...log(3, 1)], ...facts }
      ),
      "another one": history([invoked(7, { partition: 2 })], { log: log(1, 7) }),
      "an acknowledgement in another one": history([invoked(7, { partition: 2 }), acknowledged(7, 1, 0)]),
      "a report in another one": history([invoked(7, { partition: 2, producer: "reporting" }), reported(7, 1, 0)]),
      "two of them": history([invoked(7, { producer: "leader" })], { log: [...log(1, 7), ...log(2, 7)] }),
      "one that is not the acknowledged one": history([invoked(7), acknowledged(7, 1, 0)], { log: log(2, 7) })
    }
  })
})

describe("flush-means-done", () => {
  const flush = [invoked(7), accepted(7), flushing]
  const taken = (producer: string) => [invoked(7, { lane: 1, producer }), 5]
  cases(flushMeansDone, {
    accepts: {
      "what was acknowledged before": history([...flush, 5, acknowledged(7, 0, 0), flushed]),
      "what failed before": history([...flush, 5, failed(7, "maybe"), flushed]),
      "who is told at the same instant": history([...flush, 5, flushed, acknowledged(7, 0, 0)]),
      "what was accepted since": history([flushing, 1, invoked(7), accepted(7), 5, flushed, 9, acknowledged(7, 0, 0)]),
      "a flush that is interrupted": history([...flush, 9, acknowledged(7, 0, 0)]),
      "who is told late, where timers overtake": history([...flush, 5, flushed, 6, acknowledged(7, 0, 0)], {
        timersOvertake: true
      }),
      "a sink": history([...taken("reporting"), sinkDone(1, "reporting"), reported(7, 0, 0)], { log: log(0, 7) }),
      "a sink whose records a broker has acknowledged": history([...taken("all"), stored(0, 1), 6, sinkDone(1)], {
        log: log(0, 7)
      }),
      "a sink with acks none, of which brokers say nothing": history([
        ...taken("none"),
        sinkDone(1, "none"),
        stored(1, 2)
      ], {
        log: log(0, 7, 8)
      }),
      "a sink that failed": history([...taken("reporting"), abandoned(7, "reporting"), reportedFailure(7, "maybe")]),
      "a sink with acks none": history([...taken("none"), sinkDone(1, "none")]),
      "a sink with acks none, told when its producer was closed": history(
        [...taken("none"), producerClosed("none"), sinkDone(1, "none")]
      ),
      "a sink with acks leader, after a truncation": history([...taken("leader"), truncated(0), sinkDone(1, "leader")])
    },
    rejects: {
      "what is acknowledged later": history([...flush, 5, flushed, 6, acknowledged(7, 0, 0)]),
      "what never has an outcome": history([...flush, 5, flushed]),
      "what never has an outcome, where timers overtake": history([...flush, 5, flushed], { timersOvertake: true }),
      "a sink, one of whose records fails": history(
        [...taken("reporting"), sinkDone(1, "reporting"), 9, reportedFailure(7, "no")]
      ),
      "a sink, one of whose records is nowhere": history([...taken("all"), sinkDone(1)]),
      "a sink whose records are acknowledged later": history([...taken("all"), sinkDone(1), 6, stored(0, 1)], {
        log: log(0, 7)
      }),
      "a sink, where only other records are acknowledged": history([...taken("all"), stored(1, 2), 6, sinkDone(1)], {
        log: log(0, 7, 8)
      }),
      "a sink of a closed producer with acks none": history(
        [producerClosed("none"), 1, ...taken("none"), sinkDone(1, "none")]
      ),
      "a sink of a closed producer with acks leader": history(
        [producerClosed("leader"), 1, ...taken("leader"), truncated(0), sinkDone(1, "leader")]
      ),
      "a sink with a record that cannot be sent": history([invoked(7, { lane: 1, flaw: "too large" }), sinkDone(1)], {
        log: log(0, 7)
      })
    }
  })
})

describe("fails-for-a-reason", () => {
  const broken = [faultBegan(), 9]
  const bothFailed = [failed(7, "maybe"), failed(8, "maybe")]
  const large = invoked(7, { flaw: "too large", size: 60 })
  const nowhere = invoked(7, { flaw: "no such partition", partition: 100 })
  const trying = invoked(8, { mayNotWait: "at once" })
  const isFull = failed(8, "no", "all", "BufferFull")
  const refused = [
    invoked(8, { mayNotWait: "at once", producer: "reporting" }),
    failed(8, "no", "reporting", "BufferFull")
  ]
  /** A producer that sends a batch again once, one at a time. */
  const once: ProducerFacts = {
    name: "reporting",
    acks: "all",
    bufferBytes: 100,
    deliveryTimeout: 100,
    hasReports: true,
    retries: 1,
    maxInFlight: 1
  }
  const sentOften = (attempts: number): Step => ({
    _tag: "Reported",
    producer: "reporting",
    record: 7,
    attempts,
    outcome: { _tag: "Failed", persisted: "no", reason: "NotEnoughReplicas" }
  })
  const retried = (attempts: number, ...before: ReadonlyArray<Step>) =>
    history([...before, invoked(7, { producer: "reporting" }), sentOften(attempts)], { producers: [once] })
  cases(failsForAReason, {
    accepts: {
      "what found no room, since a report was not handled yet": history(
        [
          invoked(7, { producer: "reporting" }),
          acknowledged(7, 0, 0, "reporting"),
          10,
          ...refused,
          20,
          reported(7, 0, 0)
        ]
      ),
      "what found no room, and was not to wait": history([invoked(7), trying, isFull, acknowledged(7, 0, 0)]),
      "what had to be asked for": history([
        invoked(8, { mayNotWait: "once known" }),
        5,
        accepted(8),
        acknowledged(8, 0, 0)
      ]),
      "what was sent as often as may be": retried(2, ...broken),
      "what was refused for what is wrong with it": history([large, failed(7, "no", "all", "MessageTooLarge")]),
      "what a sink refused": history([large, abandoned(7)]),
      "a partition that could not be asked for": history(
        [nowhere, producerClosing(), failed(7, "no", "all", "Closed")]
      ),
      "a partition that was asked for in vain": history(
        [faultBegan(), nowhere, 50, failed(7, "no", "all", "BrokersUnavailable")],
        { lookupTimeout: 50 }
      ),
      "what was too late while something was broken": history([...broken, invoked(7), 109, failed(7, "maybe")]),
      "what was too late with those before it": history(
        [...broken, invoked(7), 99, invoked(8), 109, failed(7, "maybe"), failed(8, "maybe")]
      ),
      "what was too late with one whose sender did not wait": history(
        [...broken, invoked(7), abandoned(7), 99, invoked(8), 109, failed(8, "maybe")]
      ),
      "what was too late, after the first half of its batch": history(
        [...broken, invoked(7), 99, invoked(8), 100, acknowledged(7, 0, 0), 109, failed(8, "maybe")],
        { maxMessageBytes: 500 }
      ),
      "what had its outcome at its deadline": history([...broken, invoked(7), 50, accepted(7), 150, failed(7, "no")]),
      "what was told late, where timers overtake": history(
        [...broken, invoked(7), 50, accepted(7), 200, acknowledged(7, 0, 0)],
        { timersOvertake: true }
      ),
      "what a producer has settled when it closed": history(
        [...broken, invoked(7), 50, accepted(7), producerClosing(), 500, failed(7, "no", "all", "Closed")]
      ),
      "what may be written, and has lost its sequence": history(
        [...broken, invoked(7), failed(7, "maybe", "all", "OutOfOrderSequenceNumber")]
      ),
      "acks none: what a connection took that broke": history(
        [...broken, invoked(7, { producer: "none" }), failed(7, "maybe", "none", "ConnectionLost")]
      ),
      "what failed as its producer closed": history(
        [invoked(7), producerClosing(), failed(7, "maybe", "all", "Closed")]
      ),
      "what came too late for a topic that was deleted": history(
        [invoked(7, { isAside: true }), 9, topicDeleted, 100, failed(7, "no"), 999, topicMade]
      ),
      "what goes to a topic that is not there": history(
        [invoked(7, { flaw: "no such topic", isAside: true }), failed(7, "no", "all", "UnknownTopicOrPartition")]
      ),
      "what is too large for the topic": history([invoked(7), failed(7, "no", "all", "MessageTooLarge")], {
        maxMessageBytes: 80
      }),
      "a batch that was too large, whose first answer was lost": history(
        [faultBegan(), 9, invoked(7), 99, failed(7, "maybe", "all", "MessageTooLarge")],
        { maxMessageBytes: 500 }
      )
    },
    rejects: {
      "what was to wait for room": history([invoked(7), invoked(8), isFull, acknowledged(7, 0, 0)]),
      "what found no room though the report was handled": history(
        [invoked(7, { producer: "reporting" }), acknowledged(7, 0, 0, "reporting"), reported(7, 0, 0), 10, ...refused]
      ),
      "what found no room though there was nothing": history([trying, isFull]),
      "what was not to wait, and did": history([trying, 5, accepted(8), acknowledged(8, 0, 0)]),
      "what could be sent once more": retried(1, ...broken),
      "what was sent too often": retried(3, ...broken),
      "what was sent as often as may be, while nothing was broken": retried(2),
      "what was acknowledged, and is too large": history([large, acknowledged(7, 0, 0)]),
      "what is in the log, and is too large": history([large, abandoned(7)], { log: log(0, 7) }),
      "what was accepted, and is too large": history([large, reportedFailure(7, "no", "all")]),
      "what may be written, and is too large": history([large, failed(7, "maybe", "all", "MessageTooLarge")]),
      "what was refused for another reason": history([large, failed(7, "no")]),
      "what goes to another partition than the one that is not there": history([nowhere, acknowledged(7, 0, 0)], {
        log: log(0, 7)
      }),
      "what is not too large": history([invoked(7), failed(7, "no", "all", "MessageTooLarge")], {
        maxMessageBytes: 500
      }),
      "what is not too large, while something was broken": history(
        [faultBegan(), 9, invoked(7), 99, failed(7, "no", "all", "MessageTooLarge")],
        { maxMessageBytes: 500 }
      ),
      "what fails for the fault of another": history([
        faultBegan(),
        9,
        invoked(7),
        failed(7, "no", "all", "InvalidArgument")
      ]),
      "what goes to a partition that is there": history([
        invoked(7),
        failed(7, "no", "all", "UnknownTopicOrPartition")
      ]),
      "what fails though nothing was broken": history([invoked(7), 999, failed(7, "no")]),
      "what fails since a connection breaks": history(
        [...broken, invoked(7), 200, failed(7, "maybe", "all", "ConnectionLost")]
      ),
      "what fails since there are too few replicas": history(
        [...broken, invoked(7), 200, failed(7, "no", "all", "NotEnoughReplicas")]
      ),
      "acks none: what a connection did not take that broke": history(
        [...broken, invoked(7, { producer: "none" }), failed(7, "no", "none", "ConnectionLost")]
      ),
      "what is not written, and has lost its sequence": history(
        [...broken, invoked(7), failed(7, "no", "all", "OutOfOrderSequenceNumber")]
      ),
      "what has no sequence, and has lost it": history(
        [...broken, invoked(7, { producer: "leader" }), failed(7, "maybe", "leader", "OutOfOrderSequenceNumber")]
      ),
      "what fails before its time": history([...broken, invoked(7), 99, failed(7, "maybe")]),
      "what fails before its time, after one in another partition": history(
        [...broken, invoked(7, { partition: 1 }), 99, invoked(8, { partition: 2 }), 109, ...bothFailed]
      ),
      "what fails before its time, after another that was acknowledged": history(
        [...broken, invoked(7), 99, invoked(8), 109, acknowledged(7, 0, 0), failed(8, "maybe")]
      ),
      "what fails before its time, after another that failed long before": history(
        [...broken, invoked(7), 109, failed(7, "maybe"), invoked(8), 119, failed(8, "maybe")]
      ),
      "what fails after its time": history([...broken, invoked(7), 50, accepted(7), 155, failed(7, "maybe")]),
      "what is acknowledged after its time": history([invoked(7), accepted(7), 105, acknowledged(7, 0, 0)]),
      "what fails since an open producer is closed": history(
        [...broken, invoked(7), 20, failed(7, "no", "all", "Closed"), 21, producerClosing()]
      ),
      "what goes to no partition, since an open producer is closed": history(
        [...broken, nowhere, failed(7, "no", "all", "Closed")]
      ),
      "what goes to no partition, for another reason though nothing was broken": history(
        [nowhere, 500, failed(7, "no", "all", "BrokersUnavailable")],
        { lookupTimeout: 50 }
      ),
      "what goes to no partition, and was not asked for long": history(
        [...broken, nowhere, failed(7, "no", "all", "BrokersUnavailable")],
        { lookupTimeout: 50 }
      ),
      "what fails because its topic is deleted": history(
        [invoked(7, { isAside: true }), 9, topicDeleted, failed(7, "no", "all", "UnknownTopicOrPartition")]
      ),
      "what fails long after its topic was made again": history(
        [topicDeleted, 9, topicMade, 9000, invoked(7, { isAside: true }), 9999, failed(7, "no")]
      ),
      "what goes elsewhere than to a topic that is not there": history(
        [invoked(7, { flaw: "no such topic", isAside: true }), acknowledged(7, 0, 0)]
      ),
      "what is reported so": history([invoked(7, { producer: "reporting" }), 99, reportedFailure(7, "maybe")])
    }
  })
})

describe("nothing-invented", () => {
  const logged = (content: string) => ({ partition: 0, offset: 0, record: 7, content })
  cases(nothingInvented, {
    accepts: {
      "what was handed over": history([invoked(7), accepted(7), acknowledged(7, 0, 0), read(0, 7)], { log: log(0, 7) }),
      "what is as it was": history([
        invoked(7, { content: "a" }),
        { _tag: "Started", member: "a", ...logged("a") },
        { _tag: "Read", reader: "reader", ...logged("a") }
      ], { log: [logged("a")] })
    },
    rejects: {
      "a record from nowhere": history([], { log: log(0, 7) }),
      "a record from nowhere in another topic": history([], { logAside: log(0, 7) }),
      "a record that is in the log with other headers": history([invoked(7, { content: "a" })], { log: [logged("b")] }),
      "a record that is in another topic with another key": history(
        [invoked(7, { content: "a", isAside: true })],
        { logAside: [logged("b")] }
      ),
      "a record that a handler is given with another value": history(
        [invoked(7, { content: "a" }), { _tag: "Started", member: "a", ...logged("b") }],
        { log: [logged("a")] }
      ),
      "a record that is read with another value": history(
        [invoked(7, { content: "a" }), { _tag: "Read", reader: "reader", ...logged("b") }],
        { log: [logged("a")] }
      ),
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

describe("told-in-turn", () => {
  const piped = (record: number, correlation: number | undefined = record): Step => ({
    _tag: "Piped",
    producer: "all",
    lane: 1,
    record,
    correlation
  })
  const handled = (record: number): Step => ({ _tag: "ReportHandled", producer: "reporting", record })
  const sent = [1, 2].map((record) => invoked(record, { producer: "reporting", lane: 1 }))
  const told = (steps: ReadonlyArray<Step>, facts: { readonly reportsInTurn?: boolean } = { reportsInTurn: true }) =>
    history([...sent, ...steps], {
      producers: [{
        name: "reporting",
        acks: "all",
        bufferBytes: 100,
        deliveryTimeout: 100,
        hasReports: true,
        ...facts
      }],
      inUsualOrder: true
    })
  cases(toldInTurn, {
    accepts: {
      "a stream's order": history([piped(1), piped(2)]),
      "one report after the other": told([reported(1, 0, 0), handled(1), reported(2, 0, 1), handled(2)]),
      "reports of two partitions": told([reported(1, 0, 0), reported(2, 1, 0), handled(1), handled(2)]),
      "reports in no order": told([reported(2, 0, 1), reported(1, 0, 0)], {}),
      "what was sent again": told([faultBegan(), reported(2, 0, 1), handled(2), reported(1, 0, 0)])
    },
    rejects: {
      "another order": history([piped(2), piped(1)]),
      "the correlation of another": history([piped(1, 2)]),
      "no correlation": history([{ _tag: "Piped", producer: "all", lane: 1, record: 1, correlation: undefined }]),
      "two reports of a partition at a time": told([reported(1, 0, 0), reported(2, 0, 1)]),
      "reports in another order than the log's": told([reported(2, 0, 1), handled(2), reported(1, 0, 0)])
    }
  })
})
