import type { BrokerAddress } from "@sluice/kafka/Transport"

import type { InterceptedRequest, Verdict } from "../../MemoryCluster.ts"
import type { Cluster } from "../cluster/cluster.ts"
import type { Reply } from "../cluster/reply.ts"
import type { Broker } from "../cluster/state.ts"
import { Timers } from "../cluster/timers.ts"
import type { ReadRequest } from "./frames.ts"
import { Link, type LinkClient } from "./link.ts"

/** Decides what becomes of a request. */
export type Interceptor = (request: InterceptedRequest) => Verdict

/**
 * The wires between clients and brokers: everything that happens, on them and in the cluster, in the order of its time.
 * It knows no clock: whoever drives it says what time it is.
 */
export class Network {
  readonly cluster: Cluster
  readonly latencyMs: number
  private readonly events = new Timers()
  private readonly links = new Set<Link>()
  private readonly paused = new Set<number>()
  private interceptor: Interceptor | undefined
  private connections = 0
  private now = 0

  /** `latencyMs`: how long anything takes on its way, in each direction. */
  constructor(cluster: Cluster, latencyMs: number) {
    this.cluster = cluster
    this.latencyMs = latencyMs
  }

  /** Connections that neither end has closed. */
  get openConnections(): number {
    return this.links.size
  }

  /** Sees every request before its broker does. */
  setInterceptor(interceptor: Interceptor): void {
    this.interceptor = interceptor
  }

  /** The broker at an address, if it runs. */
  brokerAt(address: BrokerAddress): Broker | undefined {
    return this.cluster.brokers.find((broker) =>
      broker.alive && broker.host === address.host && broker.port === address.port
    )
  }

  /** Opens a connection to a broker that runs. */
  connect(brokerId: number, client: LinkClient): Link {
    const link = new Link(this, ++this.connections, brokerId, client)
    this.links.add(link)
    return link
  }

  /** Goes on to `now`: whatever an operator or a client does next is done at this time. */
  advance(now: number): void {
    for (let next = this.nextDeadline(); next !== undefined && next <= now; next = this.nextDeadline()) {
      this.keepTime(next)
      if (this.cluster.nextDeadline() === next) this.cluster.advance(next)
      else this.events.runDue(next)
    }
    this.keepTime(now)
  }

  /** It is `now`, and what is due before is done a little late. */
  keepTime(now: number): void {
    this.now = Math.max(this.now, now)
  }

  /** When something happens next. */
  nextDeadline(): number | undefined {
    const one = this.cluster.nextDeadline()
    const other = this.events.nextDeadline()
    return one === undefined || other === undefined ? one ?? other : Math.min(one, other)
  }

  /** A broker dies: its connections break. */
  stopBroker(id: number): void {
    this.cluster.stopBroker(id, this.now)
    this.paused.delete(id)
    for (const link of Array.from(this.links)) if (link.brokerId === id) link.hangUp("the broker has stopped")
  }

  /** A broker runs again; its old connections stay broken. */
  startBroker(id: number): void {
    this.cluster.startBroker(id, this.now)
  }

  /** A broker hangs: it takes connections and bytes, and answers nothing. */
  pauseBroker(id: number): void {
    this.cluster.requireBroker(id)
    this.paused.add(id)
  }

  /** A broker that hung goes on with what came meanwhile. */
  resumeBroker(id: number): void {
    this.cluster.requireBroker(id)
    this.paused.delete(id)
    for (const link of Array.from(this.links)) if (link.brokerId === id) link.pump()
  }

  isPaused(brokerId: number): boolean {
    return this.paused.has(brokerId)
  }

  /** Moves a partition's leader. */
  setLeader(topic: string, partition: number, brokerId: number): void {
    this.cluster.setLeader(topic, partition, brokerId, this.now)
  }

  /** For {@link Link}: does something when it has come to the other end. */
  travel(arrive: () => void): void {
    this.events.schedule(this.now + this.latencyMs, arrive)
  }

  /** For {@link Link}: does something at this time, but after what is going on now. */
  later(action: () => void): void {
    this.events.schedule(this.now, action)
  }

  /** For {@link Link}: what becomes of a request. */
  judge(link: Link, { api, clientId, version }: ReadRequest): Verdict {
    return this.interceptor?.({
      brokerId: link.brokerId,
      apiKey: api.key,
      apiName: api.name,
      apiVersion: version,
      clientId,
      connectionId: link.id
    }) ?? "deliver"
  }

  /** For {@link Link}: has the cluster serve a request. */
  handle(brokerId: number, request: ReadRequest): Reply<unknown> {
    return this.cluster.handle({ ...request, brokerId }, this.now) as Reply<unknown>
  }

  /** For {@link Link}: one of its ends is closed. */
  forget(link: Link): void {
    this.links.delete(link)
  }
}
