import type { Checker, HandlingFacts, HistoryEvent, PartitionIndex } from "../history.ts"
import type { Check } from "./check.ts"
import { memberNames } from "./groups.ts"
import { LogIndex } from "./logIndex.ts"
import { Violations } from "./violations.ts"

const name = "handled-in-turn"

type Started = Extract<HistoryEvent, { readonly _tag: "Started" }>

/** What a handler needs to begin, in milliseconds: timers that overtake ready work, and fibers that are late, come to less. */
const lateness = 100

/** A handler that is at work. */
interface Running {
  readonly partition: PartitionIndex
  readonly offset: number
  readonly position: number
  readonly stream: number | undefined
  readonly key: string | null
  /** Whether its member has joined again since it began. */
  isOld: boolean
}

/** Whether two handlers of a member may not be at work at the same time. */
const exclude = ({ order }: HandlingFacts, one: Running, other: Running): boolean => {
  switch (order) {
    case "partition":
      return one.partition === other.partition && one.stream === other.stream
    case "batch":
      return one.partition === other.partition && one.stream !== other.stream
    case "key":
      return one.key !== null && one.key === other.key
    case "none":
      return false
  }
}

/** How many handlers these are. */
const countOf = ({ order }: HandlingFacts, running: ReadonlyArray<Running>): number =>
  order === "batch" ? new Set(running.map(({ stream }) => stream)).size : running.length

const check: Checker = (history) => {
  const violations = new Violations(name)
  const log = new LogIndex(history)
  const nameOf = memberNames(history)
  const running = new Map<string, Array<Running>>()
  const runningOf = (member: string): Array<Running> => {
    let found = running.get(member)
    if (found === undefined) running.set(member, found = [])
    return found
  }
  const joinedAt = new Map<string, number>()
  const movedAt = new Map<string, number>()
  const start = ({ member, offset, partition, stream, time }: Started) => {
    const facts: HandlingFacts = history.handling?.get(member) ?? { order: "partition" }
    const position = log.positionOf(partition, offset)
    const key = log.of(partition)[position]?.key ?? null
    const anewSince = Math.max(joinedAt.get(member) ?? -Infinity, movedAt.get(`${member}/${partition}`) ?? -Infinity)
    const self: Running = { partition, offset, position, stream, key, isOld: time <= anewSince + lateness }
    const others = runningOf(member)
    const what = `${member} was given ${partition}/${offset}`
    const other = others.find((one) => exclude(facts, self, one))
    if (other !== undefined) {
      violations.add(`${what} while it handled ${other.partition}/${other.offset}, by ${facts.order}`, time)
    }
    others.push(self)
    const count = countOf(facts, others)
    if (count > (facts.concurrency ?? Infinity)) {
      violations.add(`${what}, and has ${count} handlers at work: more than ${facts.concurrency}`, time)
    }
    if (facts.order === "partition" || facts.order === "batch") return
    if (self.isOld) return
    const first = others.reduce(
      (least, one) => one.partition === partition && !one.isOld ? Math.min(least, one.position) : least,
      position
    )
    const ahead = position - first + 1
    if (ahead > (facts.maxAhead ?? Infinity)) {
      violations.add(`${what}, which is record ${ahead} from the first that is not done, of ${facts.maxAhead}`, time)
    }
  }
  for (const event of history.events) {
    switch (event._tag) {
      case "Started":
        start(event)
        break
      case "Processed":
      case "HandlerEnded": {
        const { member, offset, partition, stream } = event
        const all = runningOf(member)
        const index = all.findIndex((one) =>
          one.partition === partition && one.offset === offset && one.stream === stream
        )
        if (index >= 0) all.splice(index, 1)
        break
      }
      case "Synced": {
        const member = nameOf(event.memberId)
        if (member === undefined) break
        joinedAt.set(member, event.time)
        for (const one of runningOf(member)) one.isOld = true
        break
      }
      case "Seeking":
      case "Sought":
        movedAt.set(`${event.member}/${event.partition}`, event.time)
        for (const one of runningOf(event.member)) if (one.partition === event.partition) one.isOld = true
        break
      case "MemberKilled":
        running.delete(event.member)
    }
  }
  return violations.all
}

/**
 * Handlers of a member overlap only where its order lets them: two records of a partition (of one of its streams) never,
 * by key two records with the same key never; batches are of one partition, one at a time. No more of them are at work than
 * `concurrency` says. Out of order none is further than `maxAhead` records from the first of its partition that is not done.
 *
 * Exceptions. A record that is not begun, and older than all that are, is not seen, so the distance is less strict than
 * the promise; and what a member has at work when it joins again counts no more, since its partition may have begun anew; nor does
 * what it has of a partition that it moves elsewhere, or was about to begin then.
 */
export const handledInTurn: Check = {
  name,
  statement: "handlers overlap only where their order lets them, as many as may, and no further ahead than they may",
  check
}
