import type { Checker } from "../history.ts"
import type { Check } from "./check.ts"
import { type Fate, fatesAside, fatesOf, isSurelyAccepted, type Told } from "./fates.ts"
import { Violations } from "./violations.ts"

const name = "one-outcome"

type Report = Fate["reported"][number]

const agree = (told: Told, { outcome }: Report): boolean => {
  switch (told._tag) {
    case "Abandoned":
      return true
    case "Acknowledged":
      return outcome._tag === "Acknowledged" && outcome.partition === told.partition && outcome.offset === told.offset
    case "Failed":
      return outcome._tag === "Failed" && outcome.persisted === told.persisted
  }
}

const describe = (outcome: Told | Report["outcome"]): string =>
  outcome._tag === "Acknowledged"
    ? `acknowledged at ${outcome.partition}/${outcome.offset ?? "?"}`
    : outcome._tag === "Failed"
    ? `failed (${outcome.reason}, persisted "${outcome.persisted}")`
    : "abandoned"

const check: Checker = (history) => {
  const violations = new Violations(name)
  const closedAt = new Map<string, number>()
  for (const event of history.events) {
    if (event._tag === "ProducerClosed") closedAt.set(event.producer, event.time)
    if (event._tag === "Reported" && closedAt.has(event.producer)) {
      violations.add(`record ${event.record} was reported after its producer was closed`, event.time)
    }
  }
  for (const fate of [...fatesOf(history).values(), ...fatesAside(history).values()]) {
    const { accepted, invoked, producer, record, reported, told } = fate
    const correlation = invoked.hasCorrelation === true ? record : undefined
    const other = reported.find((report) => report.correlation !== correlation)
    if (other !== undefined) {
      violations.add(
        `the report of record ${record} has the correlation ${other.correlation}, not ${correlation}`,
        other.time
      )
    }
    const [first, second] = told
    const [report, again] = reported
    if (second !== undefined) {
      violations.add(`whoever sent record ${record} was told ${told.map(describe).join(", then ")}`, second.time)
    }
    if (first === undefined && accepted !== undefined) {
      violations.add(`record ${record} was accepted, and whoever sent it was never told`, accepted.time)
    }
    if (again !== undefined) violations.add(`record ${record} was reported ${reported.length} times`, again.time)
    if (report === undefined) {
      if (producer.hasReports && isSurelyAccepted(fate)) {
        violations.add(`record ${record} was accepted, and never reported`, (accepted ?? invoked).time)
      }
    } else if (!producer.hasReports) {
      violations.add(`record ${record} was reported, and its producer has no delivery handler`, report.time)
    } else if (first !== undefined && !agree(first, report)) {
      violations.add(
        `record ${record}: its sender was told ${describe(first)}, the delivery handler ${describe(report.outcome)}`,
        report.time
      )
    }
  }
  return violations.all
}

/**
 * Each accepted record has exactly one outcome: whoever sent it is told once, and the delivery handler, if there is one,
 * exactly once and before the producer is closed, with the correlation that it was handed over with, or none; both are told
 * the same.
 *
 * Exceptions. A sender that was interrupted, or is not told of single records (a sink), has no outcome to compare. That a
 * record was accepted is certain if that was seen, if it is in the log, or if an outcome says so; a record that failed
 * with `"no"` may have been refused (a closed producer, a topic that is not there): then it has no report, so it may have
 * one or none. The order of a report and of what the sender is told is not promised. Senders are told by fibers of
 * their own, which may run after the producer is closed: see `close-is-orderly`.
 */
export const oneOutcome: Check = {
  name,
  statement: "an accepted record has one outcome, told once to its sender and once to the delivery handler",
  check
}
