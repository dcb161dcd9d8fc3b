import type { History, HistoryEvent, LoggedRecord, ProducerFacts } from "../history.ts"

type EventOf<Tag extends HistoryEvent["_tag"]> = Extract<HistoryEvent, { readonly _tag: Tag }>

/** Whoever sent it was told, or stopped waiting. */
export type Told = EventOf<"Acknowledged" | "Failed" | "Abandoned">

/** An event that says that a record is acknowledged, to whomever. */
export interface Acknowledgement {
  readonly time: number
  readonly partition: number
  readonly offset: number | undefined
}

/** Everything that is known of one record. */
export interface Fate {
  readonly record: number
  readonly producer: ProducerFacts
  readonly invoked: EventOf<"Invoked">
  accepted: EventOf<"Accepted"> | undefined
  readonly told: Array<Told>
  readonly reported: Array<EventOf<"Reported">>
  /** Where it is in the log. */
  readonly copies: Array<LoggedRecord>
}

/** Of records of the topic, and of those that are aside. */
interface Fates {
  readonly main: ReadonlyMap<number, Fate>
  readonly aside: ReadonlyMap<number, Fate>
}

const byHistory = new WeakMap<History, Fates>()

const known = (history: History): Fates => {
  let fates = byHistory.get(history)
  if (fates === undefined) byHistory.set(history, fates = makeFates(history))
  return fates
}

/** What became of each record that was handed over, by its id. Made once for a history. */
export const fatesOf = (history: History): ReadonlyMap<number, Fate> => known(history).main

/** The same of records for other topics, of which little can be said. */
export const fatesAside = (history: History): ReadonlyMap<number, Fate> => known(history).aside

const makeFates = ({ events, log, logAside = [], producers }: History): Fates => {
  const facts = new Map(producers.map((producer) => [producer.name, producer]))
  const main = new Map<number, Fate>()
  const aside = new Map<number, Fate>()
  const fates = { get: (record: number) => main.get(record) ?? aside.get(record) }
  for (const event of events) {
    switch (event._tag) {
      case "Invoked": {
        const producer = facts.get(event.producer)
        if (producer === undefined) throw new Error(`nothing is known of producer ${event.producer}`)
        const kind = event.isAside === true ? aside : main
        kind.set(event.record, {
          record: event.record,
          producer,
          invoked: event,
          accepted: undefined,
          told: [],
          reported: [],
          copies: []
        })
        break
      }
      case "Accepted": {
        const fate = fates.get(event.record)
        if (fate !== undefined) fate.accepted = event
        break
      }
      case "Acknowledged":
      case "Failed":
      case "Abandoned":
        fates.get(event.record)?.told.push(event)
        break
      case "Reported":
        fates.get(event.record)?.reported.push(event)
    }
  }
  for (const logged of log) main.get(logged.record)?.copies.push(logged)
  for (const logged of logAside) aside.get(logged.record)?.copies.push(logged)
  return { main, aside }
}

/** All that says of a record that it is acknowledged. */
export const acknowledgementsOf = ({ reported, told }: Fate): ReadonlyArray<Acknowledgement> => {
  const found: Array<Acknowledgement> = []
  for (const event of told) if (event._tag === "Acknowledged") found.push(event)
  for (const { outcome, time } of reported) {
    if (outcome._tag === "Acknowledged") found.push({ time, partition: outcome.partition, offset: outcome.offset })
  }
  return found
}

/** When it was first said that a record failed with this `persisted`. */
export const failedAt = ({ reported, told }: Fate, persisted: "no" | "maybe"): number | undefined => {
  for (const event of told) if (event._tag === "Failed" && event.persisted === persisted) return event.time
  for (const { outcome, time } of reported) {
    if (outcome._tag === "Failed" && outcome.persisted === persisted) return time
  }
  return undefined
}

/** Whether a batch that comes again is told from a new one: else a retry may write it twice. */
export const isIdempotent = ({ acks, idempotent = true }: ProducerFacts): boolean => acks === "all" && idempotent

/** Whether it is certain that the producer took a record. */
export const isSurelyAccepted = (fate: Fate): boolean =>
  fate.accepted !== undefined || fate.copies.length > 0 || acknowledgementsOf(fate).length > 0 ||
  failedAt(fate, "maybe") !== undefined

/** Words for where copies of a record are. */
export const places = (copies: ReadonlyArray<LoggedRecord>): string =>
  copies.length === 0 ? "nowhere" : copies.map(({ offset, partition }) => `${partition}/${offset}`).join(", ")
