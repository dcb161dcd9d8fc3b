import { describe, type Fault } from "../../Fault.ts"
import type { Exchange, NetworkEvent } from "../network/event.ts"
import type { WorldEvent } from "./history.ts"

type FaultEvent = Extract<NetworkEvent, { readonly _tag: "FaultBegan" | "FaultEnded" }>

/** A connection over which a member takes part in its group. */
interface GroupConnection {
  readonly member: string
  readonly broker: number
  isSilent: boolean
  /** Whether that was told: its broker coordinates the group. */
  isTold: boolean
}

/** What a member sends over the same connections as what keeps it in its group. */
const groupApis: ReadonlySet<string> = new Set([
  "JoinGroup",
  "SyncGroup",
  "Heartbeat",
  "LeaveGroup",
  "OffsetCommit",
  "OffsetFetch",
  "ListOffsets"
])

/** Faults whose end is told; the others are over as soon as they have begun. */
const lasting: ReadonlySet<Fault["_tag"]> = new Set(["Partition", "Slow", "Crash", "Pause"])

/** Tells of faults, whose part in the group they can disturb, and how long a member has a connection that has gone silent. */
export class Disturbances {
  readonly #members: ReadonlyArray<string>
  readonly #connections = new Map<number, GroupConnection>()

  constructor(members: ReadonlyArray<string>) {
    this.#members = members
  }

  /** What a history has to know of it. */
  observe(event: NetworkEvent): ReadonlyArray<WorldEvent> {
    const { time } = event
    switch (event._tag) {
      case "Served":
        this.#served(event.exchange)
        return []
      case "Answered":
        return this.#answered(time, event.exchange)
      case "Disconnected":
        // A broker that breaks a silent connection is not heard.
        return event.by === "client" || this.#connections.get(event.connection)?.isSilent !== true
          ? this.#ended(time, event.connection)
          : []
      case "FaultBegan":
        return this.#began(event)
      case "FaultEnded":
        return [{ _tag: "FaultEnded", time, id: event.id, fault: describe(event.fault) }]
      case "Connected":
      case "Received":
      case "Cluster":
        return []
    }
  }

  #served({ api, broker, client, connection }: Exchange): void {
    if (groupApis.has(api.name) && this.#members.includes(client) && !this.#connections.has(connection)) {
      this.#connections.set(connection, { member: client, broker, isSilent: false, isTold: false })
    }
  }

  /** Who coordinates the group now: only the way there matters, until it moves again. */
  #answered(time: number, { api, broker, client, response }: Exchange): ReadonlyArray<WorldEvent> {
    if (api.name !== "Heartbeat" || (response as { readonly errorCode: number }).errorCode !== 0) return []
    return Array.from(this.#connections).flatMap(([connection, each]) =>
      each.isSilent && each.member === client ? this.#told(time, connection, each, each.broker === broker) : []
    )
  }

  #told(time: number, connection: number, each: GroupConnection, isTold: boolean): ReadonlyArray<WorldEvent> {
    if (each.isTold === isTold) return []
    each.isTold = isTold
    return isTold
      ? [{ _tag: "SilenceBegan", time, member: each.member, connection }]
      : [{ _tag: "SilenceEnded", time, connection }]
  }

  #ended(time: number, connection: number): ReadonlyArray<WorldEvent> {
    const each = this.#connections.get(connection)
    this.#connections.delete(connection)
    return each === undefined ? [] : this.#told(time, connection, each, false)
  }

  #began({ exchange, fault, id, time }: FaultEvent & { readonly _tag: "FaultBegan" }): ReadonlyArray<WorldEvent> {
    const told = { time, id, fault: describe(fault) }
    const members = this.#disturbed(fault, exchange)
    const events: Array<WorldEvent> = [{ _tag: "FaultBegan", ...told, ...(members !== undefined && { members }) }]
    if (!lasting.has(fault._tag)) events.push({ _tag: "FaultEnded", ...told })
    for (const [connection, each] of this.#connections) {
      if (each.isSilent || !isSilenced(fault, exchange, connection, each)) continue
      each.isSilent = true
      for (const told of this.#told(time, connection, each, true)) events.push(told)
    }
    return events
  }

  /** Whose part in the group a fault can disturb; `undefined` for all. */
  #disturbed(fault: Fault, exchange: Exchange | undefined): ReadonlyArray<string> | undefined {
    switch (fault._tag) {
      // Nothing is promised by the wall clock, and nobody is in a group by the leader of a partition.
      case "JumpClock":
      case "MoveLeader":
        return []
      case "LoseRequest":
      case "LoseResponse":
      case "Reset":
      case "Throttle":
      case "Refuse": {
        const { api, client } = exchange!
        // These have connections of their own. Of others, a member may wait for the answer before it goes on.
        const isApart = api.name === "Fetch" || api.name === "Produce"
        return isApart ? [] : this.#members.filter((member) => member === client)
      }
      case "HalfOpen":
      case "Partition":
      case "Slow": {
        const { clients } = fault.links
        return clients === undefined ? undefined : this.#members.filter((member) => clients.includes(member))
      }
      default:
        return undefined
    }
  }
}

const isSilenced = (
  fault: Fault,
  exchange: Exchange | undefined,
  connection: number,
  { broker, member }: GroupConnection
): boolean => {
  switch (fault._tag) {
    case "LoseRequest":
    case "LoseResponse":
      return exchange!.connection === connection
    case "HalfOpen": {
      const { brokers, clients } = fault.links
      return brokers?.includes(broker) !== false && clients?.includes(member) !== false
    }
    default:
      return false
  }
}
