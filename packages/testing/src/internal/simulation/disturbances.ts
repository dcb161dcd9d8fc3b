import { FindCoordinator } from "@sluice/kafka/internal/protocol/api/findCoordinator"
import { Heartbeat } from "@sluice/kafka/internal/protocol/api/heartbeat"
import { JoinGroup } from "@sluice/kafka/internal/protocol/api/joinGroup"
import { LeaveGroup } from "@sluice/kafka/internal/protocol/api/leaveGroup"
import { ListOffsets } from "@sluice/kafka/internal/protocol/api/listOffsets"
import { Metadata } from "@sluice/kafka/internal/protocol/api/metadata"
import { OffsetCommit } from "@sluice/kafka/internal/protocol/api/offsetCommit"
import { OffsetFetch } from "@sluice/kafka/internal/protocol/api/offsetFetch"
import { OffsetForLeaderEpoch } from "@sluice/kafka/internal/protocol/api/offsetForLeaderEpoch"
import { SyncGroup } from "@sluice/kafka/internal/protocol/api/syncGroup"

import { describe, type Fault } from "../../Fault.ts"
import type { Exchange, NetworkEvent } from "../network/event.ts"
import type { WorldEvent } from "./history.ts"

type Sent = Extract<NetworkEvent, { readonly _tag: "Sent" }>
type Received = Extract<NetworkEvent, { readonly _tag: "Received" }>
type FaultEvent = Extract<NetworkEvent, { readonly _tag: "FaultBegan" | "FaultEnded" }>

/** A connection over which a member takes part in its group, or looks for who coordinates it. */
interface GroupConnection {
  readonly member: string
  readonly broker: number
  /** Whether it takes part over it. */
  isOfGroup: boolean
  isSilent: boolean
  /** Whether that was told: its broker coordinates the group, or the member asks it who does. */
  isTold: boolean
  /** When its client gives up the requests that it waits for, in their order. */
  readonly waits: Array<number>
}

/** How long a client waits for answers, in milliseconds. */
export interface AnswerTimeouts {
  /** Of JoinGroup and SyncGroup, which wait for other members. */
  readonly join: number
  readonly heartbeat: number
  readonly other: number
}

/** What a member sends over the same connections as what keeps it in its group. */
const groupApis: ReadonlySet<number> = new Set(
  [JoinGroup, SyncGroup, Heartbeat, LeaveGroup, OffsetCommit, OffsetFetch, ListOffsets, OffsetForLeaderEpoch].map((
    { key }
  ) => key)
)

/** What it sends over the connections by which it finds out who coordinates the group. */
const lookupApis: ReadonlySet<number> = new Set([FindCoordinator.key, Metadata.key])

/** Faults whose end is told; the others are over as soon as they have begun. */
const lasting: ReadonlySet<Fault["_tag"]> = new Set(["Partition", "Slow", "Crash", "Pause"])

/** Tells of faults, whose part in the group they can disturb, and how long a member has a connection that has gone silent. */
export class Disturbances {
  readonly #members: ReadonlyArray<string>
  readonly #timeouts: AnswerTimeouts
  readonly #connections = new Map<number, GroupConnection>()

  constructor(members: ReadonlyArray<string>, timeouts: AnswerTimeouts) {
    this.#members = members
    this.#timeouts = timeouts
  }

  /** What a history has to know of it. */
  observe(event: NetworkEvent): ReadonlyArray<WorldEvent> {
    const { time } = event
    switch (event._tag) {
      case "Sent":
        return this.#sent(event)
      case "Received":
        return this.#received(event)
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
      case "Served":
      case "Cluster":
        return []
    }
  }

  #sent({ apiKey, broker, client, connection, time }: Sent): ReadonlyArray<WorldEvent> {
    const isOfGroup = groupApis.has(apiKey)
    if (!(isOfGroup || lookupApis.has(apiKey)) || !this.#members.includes(client)) return []
    let each = this.#connections.get(connection)
    if (each === undefined) {
      each = { member: client, broker, isOfGroup, isSilent: false, isTold: false, waits: [] }
      this.#connections.set(connection, each)
    }
    each.isOfGroup ||= isOfGroup
    each.waits.push(time + this.#timeoutOf(apiKey))
    const isSought = each.isSilent && !each.isTold && apiKey === FindCoordinator.key
    return isSought ? this.#told(time, connection, each, true) : felt(time, connection, each)
  }

  /** A broker answers the requests of a connection in their order. */
  #received({ exchange: { connection }, time }: Received): ReadonlyArray<WorldEvent> {
    const each = this.#connections.get(connection)
    each?.waits.shift()
    return each === undefined ? [] : felt(time, connection, each)
  }

  #timeoutOf(apiKey: number): number {
    const { heartbeat, join, other } = this.#timeouts
    return apiKey === JoinGroup.key || apiKey === SyncGroup.key ? join : apiKey === Heartbeat.key ? heartbeat : other
  }

  /** Who coordinates the group now: only the way there matters, until it moves again. */
  #answered(time: number, { api, broker, client, response }: Exchange): ReadonlyArray<WorldEvent> {
    if (api.name !== "Heartbeat" || (response as { readonly errorCode: number }).errorCode !== 0) return []
    return Array.from(this.#connections).flatMap(([connection, each]) =>
      each.isSilent && each.member === client
        ? this.#told(time, connection, each, each.isOfGroup && each.broker === broker)
        : []
    )
  }

  #told(time: number, connection: number, each: GroupConnection, isTold: boolean): ReadonlyArray<WorldEvent> {
    if (each.isTold === isTold) return []
    each.isTold = isTold
    return isTold
      ? [{ _tag: "SilenceBegan", time, member: each.member, connection }, ...felt(time, connection, each)]
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
      if (!each.isOfGroup) continue
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

/** When the client of a silent connection learns of it; never, as long as it waits for nothing there. */
const felt = (time: number, connection: number, { isTold, waits }: GroupConnection): ReadonlyArray<WorldEvent> =>
  isTold ? [{ _tag: "SilenceFelt", time, connection, until: Math.min(...waits) }] : []

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
