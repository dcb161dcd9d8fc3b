import type { History } from "../history.ts"

/** A time in which something was broken, or may still have had consequences. */
interface Span {
  readonly from: number
  to: number
}

/** Timers that overtake ready work, and fibers that are late, come to less. */
const lateness = 100

/** When something was broken, or may still have had consequences. */
export class Trouble {
  readonly #all: ReadonlyArray<Span>
  readonly #byMember = new Map<string, ReadonlyArray<Span>>()

  /**
   * The aftermath of what is over is a session timeout and a rebalance timeout. Whoever was disturbed reaches the
   * coordinator again within a session timeout, or is put out at its end: later there is no consequence of a heartbeat
   * that was missed. Until then it may not have heard of a rebalance, which waits for it a rebalance timeout from its
   * beginning. No answer is waited for any more by then. A connection that has gone silent is trouble for as long as its
   * client cannot know: until the request on it that times out first has done so, or it is closed before. A process that
   * stands still or is killed is trouble of its member.
   */
  constructor({ events, members, rebalanceTimeout, sessionTimeout }: History) {
    const aftermath = sessionTimeout + (rebalanceTimeout ?? sessionTimeout)
    let healedAt = Infinity
    const endedAt = new Map<number, number>()
    const silences: Array<Span & { readonly member: string }> = []
    const stalls = new Map<string, Span & { readonly member: string }>()
    const open = new Map<number, Span>()
    for (const event of events) {
      if (event._tag === "Healed") healedAt = event.time
      if (event._tag === "FaultEnded") endedAt.set(event.id, event.time)
      if (event._tag === "MemberKilled") silences.push({ ...event, from: event.time, to: event.time + aftermath })
      if (event._tag === "Stalled") stalls.set(event.member, { from: event.time, to: Infinity, member: event.member })
      if (event._tag === "Resumed") {
        const stall = stalls.get(event.member)!
        silences.push({ ...stall, to: event.time + aftermath })
        stalls.delete(event.member)
      }
      if (event._tag === "SilenceBegan") {
        const silence = { from: event.time, to: Infinity, member: event.member }
        silences.push(silence)
        open.set(event.connection, silence)
      }
      if (event._tag === "SilenceFelt") {
        const silence = open.get(event.connection)
        if (silence !== undefined) silence.to = event.until + lateness + aftermath
      }
      if (event._tag === "SilenceEnded") {
        const silence = open.get(event.connection)
        if (silence !== undefined) silence.to = Math.min(silence.to, event.time + aftermath)
        open.delete(event.connection)
      }
    }
    const all: Array<Span> = []
    const byMember = new Map<string, Array<Span>>(members.map((member) => [member, []]))
    for (const stall of stalls.values()) silences.push(stall)
    for (const { from, member, to } of silences) byMember.get(member)?.push({ from, to })
    for (const event of events) {
      if (event._tag !== "FaultBegan") continue
      const end = endedAt.get(event.id) ?? (event.time <= healedAt ? healedAt : Infinity)
      const span = { from: event.time, to: end + aftermath }
      all.push(span)
      for (const member of event.members ?? members) byMember.get(member)?.push(span)
    }
    this.#all = all
    this.#byMember = byMember
  }

  /**
   * Whether nothing was broken, nor had been of late, in all of this time: nothing at all, or nothing that disturbs this
   * member's part in the group.
   */
  wasCalm(from: number, to: number, member?: string): boolean {
    const spans = member === undefined ? this.#all : this.#byMember.get(member) ?? this.#all
    return !spans.some((span) => span.from <= to && span.to >= from)
  }
}
