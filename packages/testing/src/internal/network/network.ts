import type { Fetch } from "@sluice/kafka/internal/protocol/api/fetch"
import type { RequestOf } from "@sluice/kafka/internal/protocol/field"
import type { BrokerAddress } from "@sluice/kafka/Transport"

import type { LinkMatch } from "../../Fault.ts"
import type { InterceptedRequest, Verdict } from "../../MemoryCluster.ts"
import type { Cluster } from "../cluster/cluster.ts"
import type { Reply } from "../cluster/reply.ts"
import { type Timer, Timers } from "../cluster/timers.ts"
import type { SeededRandom } from "../random.ts"
import type { Exchange, NetworkObserver } from "./event.ts"
import { Faults } from "./faults.ts"
import type { ReadRequest } from "./frames.ts"
import { Link, type LinkClient } from "./link.ts"
import { noTreatment, type Treatment } from "./treatment.ts"

/** Decides what becomes of a request. */
export type Interceptor = (request: InterceptedRequest) => Verdict

/** What a network is made of. Times are milliseconds. */
export interface NetworkOptions {
  readonly cluster: Cluster
  /** How long anything takes on its way, in each direction. */
  readonly latency: number
  /** How much longer it may take, by chance. */
  readonly jitter: number
  /** Decides about the jitter. */
  readonly chance: SeededRandom
  readonly observer: NetworkObserver | undefined
  /** Has the clients' wall clock jump, if it can. */
  readonly jumpClock: ((by: number) => void) | undefined
}

/** How a connection's bytes travel. */
export interface Conditions {
  readonly latency: number
  readonly jitter: number
  readonly bytesPerSecond: number
}

/**
 * The wires between clients and brokers: everything that happens, on them and in the cluster, in the order of its time.
 * It knows no clock: whoever drives it says what time it is.
 */
export class Network {
  readonly cluster: Cluster
  readonly faults: Faults
  readonly chance: SeededRandom
  readonly jumpClock: NetworkOptions["jumpClock"]
  /** Tells the observer, if there is one: what is told is not even made without. */
  readonly tell: NetworkObserver | undefined
  private readonly calm: Conditions
  private readonly events = new Timers()
  private readonly links = new Set<Link>()
  private interceptor: Interceptor | undefined
  private connections = 0
  private exchanges = 0
  private time = 0

  constructor({ chance, cluster, jitter, jumpClock, latency, observer }: NetworkOptions) {
    this.cluster = cluster
    this.chance = chance
    this.jumpClock = jumpClock
    this.tell = observer
    this.calm = { latency, jitter, bytesPerSecond: Infinity }
    this.faults = new Faults(this)
  }

  /** What time it is. */
  get now(): number {
    return this.time
  }

  /** Connections that are up, and that neither end has closed. */
  get openConnections(): number {
    return Array.from(this.links).filter((link) => link.isOpen).length
  }

  /** Sees every request before its broker does. */
  setInterceptor(interceptor: Interceptor): void {
    this.interceptor = interceptor
  }

  /** The broker that has an address, whether it runs or not. */
  brokerAt({ host, port }: BrokerAddress): number | undefined {
    return this.cluster.brokers.find((broker) => broker.host === host && broker.port === port)?.id
  }

  /** A client asks for a connection to a broker. */
  connect(brokerId: number, clientName: string, client: LinkClient): Link {
    const link = new Link(this, ++this.connections, brokerId, clientName, client)
    this.links.add(link)
    link.open()
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
    this.time = Math.max(this.time, now)
  }

  /** When something happens next. */
  nextDeadline(): number | undefined {
    const one = this.cluster.nextDeadline()
    const other = this.events.nextDeadline()
    return one === undefined || other === undefined ? one ?? other : Math.min(one, other)
  }

  /** Does something at a time. */
  schedule(at: number, action: () => void): Timer {
    return this.events.schedule(at, action)
  }

  /** Does something at this time, but after what is going on now. */
  later(action: () => void): void {
    this.events.schedule(this.time, action)
  }

  /** Whether a broker's machine takes connections. */
  isRunning(brokerId: number): boolean {
    return this.cluster.requireBroker(brokerId).alive
  }

  /** Whether a broker does not hang. */
  isServing(brokerId: number): boolean {
    return !this.cluster.requireBroker(brokerId).isHung
  }

  /** A broker dies: its connections break. */
  stopBroker(id: number): void {
    this.cluster.stopBroker(id, this.time)
    for (const link of this.linksOf({ brokers: [id] })) link.hangUp("the broker has stopped")
  }

  /** A broker runs again; its old connections stay broken. */
  startBroker(id: number): void {
    this.cluster.startBroker(id, this.time)
  }

  /** A broker hangs: its machine takes connections and bytes, and it answers nothing. */
  pauseBroker(id: number): void {
    this.cluster.brokerHangs(id, this.time)
  }

  /** A broker that hung goes on with what came meanwhile. */
  resumeBroker(id: number): void {
    this.cluster.brokerGoesOn(id, this.time)
    for (const link of this.linksOf({ brokers: [id] })) link.pump()
  }

  /** The connections that a fault is about. */
  linksOf(match: LinkMatch): ReadonlyArray<Link> {
    return Array.from(this.links).filter((link) => matchesLink(match, link))
  }

  /** For {@link Link}: how its bytes travel now. */
  conditions(link: Link): Conditions {
    const slow = this.faults.slowness(link)
    return slow === undefined ? this.calm : {
      latency: this.calm.latency + slow.latency,
      jitter: this.calm.jitter + slow.jitter,
      bytesPerSecond: slow.bytesPerSecond
    }
  }

  /** For {@link Link}: whether nothing gets through now. */
  isCutOff(link: Link): boolean {
    return this.faults.isCutOff(link)
  }

  /** For {@link Link}: what the interceptor does to a request, if there is anything. Throws what it throws. */
  intercept(exchange: Exchange, clientId: string | null): Treatment | undefined {
    const verdict = this.interceptor?.({
      brokerId: exchange.broker,
      apiKey: exchange.api.key,
      apiName: exchange.api.name,
      apiVersion: exchange.version,
      clientId,
      connectionId: exchange.connection
    })
    return verdict === undefined ? undefined : treatments[verdict]()
  }

  /** For {@link Link}: has the cluster serve a request. */
  handle(brokerId: number, request: ReadRequest): Reply<unknown> {
    return this.cluster.handle({ ...request, brokerId }, this.time) as Reply<unknown>
  }

  /** For {@link Link}: a request with all that it is for, which its broker may know from earlier ones. */
  whole(brokerId: number, request: ReadRequest): ReadRequest {
    return request.api.name === "Fetch"
      ? { ...request, body: this.cluster.wholeFetch(request.body as RequestOf<typeof Fetch>, brokerId) }
      : request
  }

  /** For {@link Link}: the number of the next exchange. */
  nextExchangeId(): number {
    return ++this.exchanges
  }

  /** For {@link Link}: both of its ends are closed. */
  forget(link: Link): void {
    this.links.delete(link)
  }
}

const treatments: Readonly<Record<Verdict, () => Treatment | undefined>> = {
  deliver: () => undefined,
  dropRequest: () => ({ ...noTreatment(), isRequestLost: true }),
  dropResponse: () => ({ ...noTreatment(), isResponseLost: true }),
  disconnect: () => ({ ...noTreatment(), reset: "request" })
}

/** Whether a fault is about a connection. */
export const matchesLink = ({ brokers, clients }: LinkMatch, link: Link): boolean =>
  (brokers === undefined || brokers.includes(link.brokerId)) &&
  (clients === undefined || clients.includes(link.clientName))
