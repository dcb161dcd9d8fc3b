import type { AnyApi } from "@sluice/kafka/internal/protocol/field"

import type { Fault } from "../../Fault.ts"
import type { ClusterEvent } from "../cluster/event.ts"

/** One request and what became of it; filled in as it goes on. Times are milliseconds of the network's time. */
export interface Exchange {
  /** Counts from 1. */
  readonly id: number
  readonly connection: number
  readonly broker: number
  /** The client id. */
  readonly client: string
  readonly api: AnyApi
  readonly version: number
  readonly correlationId: number
  /** Of the request's frame. */
  readonly requestBytes: number
  /** When the client wrote it, and when the broker began with it. */
  readonly sentAt: number
  readonly servedAt: number
  /** As it was decoded; a Fetch names all that it is for, also what its broker knows from the session. */
  readonly request: unknown
  /** As it is encoded, before it is read: what decoding would fill in is left out. `undefined` before, or if there is none. */
  response: unknown
  responseBytes: number
  answeredAt: number | undefined
  receivedAt: number | undefined
}

/** What happens on the wires and in the cluster, in the order of its time. */
export type NetworkEvent =
  | { readonly _tag: "Connected"; readonly time: number; readonly connection: number; readonly broker: number }
  | {
    readonly _tag: "Disconnected"
    readonly time: number
    readonly connection: number
    readonly by: "client" | "broker"
    readonly message: string
  }
  /** A client writes a request, whether it gets anywhere or not. */
  | {
    readonly _tag: "Sent"
    readonly time: number
    readonly connection: number
    readonly broker: number
    readonly client: string
    readonly apiKey: number
  }
  /** The broker begins with a request, has answered it, and the client has the answer. */
  | { readonly _tag: "Served"; readonly time: number; readonly exchange: Exchange }
  | { readonly _tag: "Answered"; readonly time: number; readonly exchange: Exchange }
  | { readonly _tag: "Received"; readonly time: number; readonly exchange: Exchange }
  /** A fault takes hold, of a request if it is of one; `id` is that of its beginning when it ends. */
  | {
    readonly _tag: "FaultBegan"
    readonly time: number
    readonly id: number
    readonly fault: Fault
    readonly exchange: Exchange | undefined
  }
  | { readonly _tag: "FaultEnded"; readonly time: number; readonly id: number; readonly fault: Fault }
  | { readonly _tag: "Cluster"; readonly time: number; readonly event: ClusterEvent }

/** Is told of each event, in order. It must do nothing to the network. */
export type NetworkObserver = (event: NetworkEvent) => void
