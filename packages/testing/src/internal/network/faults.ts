import type { Fault, LinkMatch, RequestMatch } from "../../Fault.ts"
import { errorCode } from "../cluster/errorCode.ts"
import type { Timer } from "../cluster/timers.ts"
import { checkFault } from "./checkFault.ts"
import type { Exchange } from "./event.ts"
import type { Link } from "./link.ts"
import { type Conditions, matchesLink, type Network } from "./network.ts"
import { noTreatment, type Treatment } from "./treatment.ts"

type Kind = Fault["_tag"]
type FaultOf<K extends Kind> = Extract<Fault, { readonly _tag: K }>

type LastingFault = FaultOf<"Partition" | "Slow" | "Crash" | "Pause">

/** A fault that lasts. */
interface Lasting<F extends LastingFault> {
  readonly id: number
  readonly fault: F
  readonly timer: Timer | undefined
}

/** A fault that waits for its request. */
interface Armed {
  readonly match: RequestMatch
  readonly fault: Fault
  /** How many requests were like it. */
  seen: number
}

/** What goes wrong in a network: what lasts, what waits for its time, and what waits for its request. */
export class Faults {
  private readonly network: Network
  private readonly waiting = new Set<Timer>()
  private armed: ReadonlyArray<Armed> = []
  private partitions: ReadonlyArray<Lasting<FaultOf<"Partition">>> = []
  private slow: ReadonlyArray<Lasting<FaultOf<"Slow">>> = []
  private crashes: ReadonlyArray<Lasting<FaultOf<"Crash">>> = []
  private pauses: ReadonlyArray<Lasting<FaultOf<"Pause">>> = []
  private ids = 0

  constructor(network: Network) {
    this.network = network
  }

  /** Has something go wrong, now or when its time has come; throws a `RangeError` for what cannot. */
  inject(fault: Fault): void {
    checkFault(fault, this.network)
    this.begin(fault, undefined)
  }

  /** Ends everything that lasts, and disarms what waits. What was lost stays lost, and a silent connection silent. */
  heal(): void {
    this.armed = []
    for (const timer of this.waiting) timer.cancel()
    this.waiting.clear()
    for (const one of [...this.partitions, ...this.slow, ...this.crashes, ...this.pauses]) this.end(one)
    for (const link of this.network.linksOf({})) link.speak()
  }

  /** Whether nothing gets through on a connection. */
  isCutOff(link: Link): boolean {
    return this.partitions.some(({ fault }) => matchesLink(fault.links, link))
  }

  /** What is slow on a connection, all taken together; `undefined` for nothing. */
  slowness(link: Link): Conditions | undefined {
    let all: Conditions | undefined
    for (const { fault } of this.slow) {
      if (!matchesLink(fault.links, link)) continue
      all = {
        latency: (all?.latency ?? 0) + fault.latency,
        jitter: (all?.jitter ?? 0) + fault.jitter,
        bytesPerSecond: Math.min(all?.bytesPerSecond ?? Infinity, fault.bytesPerSecond ?? Infinity)
      }
    }
    return all
  }

  /** What is done to a request that has come to its broker, beside what is done to it already. */
  treat(exchange: Exchange, already: Treatment | undefined): Treatment | undefined {
    let treatment = already
    for (const armed of this.armed) {
      const { fault, match } = armed
      if (!matchesRequest(match, exchange)) continue
      const { nth = 1, times = 1 } = match
      const seen = ++armed.seen
      if (seen < nth) continue
      if (seen >= nth + times - 1) this.armed = this.armed.filter((other) => other !== armed)
      if (fault._tag === "After") {
        this.beginIfPossible(fault.fault, exchange)
      } else {
        this.tellBegan(fault, exchange)
        apply(fault, treatment ??= noTreatment())
      }
    }
    return treatment
  }

  /** What was possible when a fault was injected need not be when its time has come: then nothing happens. */
  private beginIfPossible(fault: Fault, exchange: Exchange | undefined): void {
    if (fault._tag === "All") {
      for (const one of fault.faults) this.beginIfPossible(one, exchange)
      return
    }
    try {
      checkFault(fault, this.network)
      this.begin(fault, exchange)
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
    }
  }

  private begin(fault: Fault, exchange: Exchange | undefined): void {
    const { network } = this
    switch (fault._tag) {
      case "LoseRequest":
      case "LoseResponse":
      case "Reset":
      case "Throttle":
      case "Refuse":
        this.armed = [...this.armed, { match: fault.on, fault, seen: 0 }]
        return
      case "HalfOpen": {
        const links = network.linksOf(fault.links).filter((link) => link.isOpen)
        if (links.length === 0) return
        this.tellBegan(fault, exchange)
        for (const link of links) link.goSilent()
        return
      }
      case "Partition":
        this.partitions = [...this.partitions, this.last(fault, exchange)]
        return
      case "Slow":
        this.slow = [...this.slow, this.last(fault, exchange)]
        return
      case "Crash":
        this.crashes = [...this.crashes, this.last(fault, exchange)]
        network.stopBroker(fault.broker)
        return this.endAll(this.pauses, fault.broker)
      case "Start":
        if (network.isRunning(fault.broker)) return
        this.tellBegan(fault, exchange)
        return this.endAll(this.crashes, fault.broker)
      case "Pause":
        // A broker that is dead cannot hang.
        if (!network.isRunning(fault.broker)) return
        this.pauses = [...this.pauses, this.last(fault, exchange)]
        return network.pauseBroker(fault.broker)
      case "Resume":
        if (network.isServing(fault.broker)) return
        this.tellBegan(fault, exchange)
        return this.endAll(this.pauses, fault.broker)
      case "MoveLeader":
        if (!network.cluster.setLeader(fault.topic, fault.partition, fault.broker, network.now)) return
        return void this.tellBegan(fault, exchange)
      case "MoveCoordinator":
        if (!network.cluster.moveCoordinator(fault.group, fault.broker, network.now)) return
        return void this.tellBegan(fault, exchange)
      case "JumpClock":
        this.tellBegan(fault, exchange)
        network.jumpClock?.(fault.by)
        return
      case "After":
        return this.beginLater(fault)
      case "All":
        for (const one of fault.faults) this.begin(one, exchange)
    }
  }

  private beginLater(fault: FaultOf<"After">): void {
    const { network } = this
    const { when } = fault
    if (typeof when !== "number") {
      this.armed = [...this.armed, { match: when, fault, seen: 0 }]
      return
    }
    const timer = network.schedule(network.now + when, () => {
      this.waiting.delete(timer)
      this.beginIfPossible(fault.fault, undefined)
    })
    this.waiting.add(timer)
  }

  private last<F extends LastingFault>(fault: F, exchange: Exchange | undefined): Lasting<F> {
    const { network } = this
    const { duration } = fault
    const id = this.tellBegan(fault, exchange)
    const timer = duration === undefined || duration === Infinity
      ? undefined
      : network.schedule(network.now + duration, () => this.end(lasting))
    const lasting = { id, fault, timer }
    return lasting
  }

  private endAll(lasting: ReadonlyArray<Lasting<FaultOf<"Crash" | "Pause">>>, broker: number): void {
    for (const one of lasting) if (one.fault.broker === broker) this.end(one)
  }

  /** Ends one that lasts; what else lasts may still be in the way. */
  private end(one: Lasting<LastingFault>): void {
    const { network } = this
    const { fault, id, timer } = one
    timer?.cancel()
    const isOther = (other: Lasting<LastingFault>): boolean => other !== one
    network.tell?.({ _tag: "FaultEnded", time: network.now, id, fault })
    switch (fault._tag) {
      case "Partition":
        this.partitions = this.partitions.filter(isOther)
        return this.recover(fault.links)
      case "Slow":
        this.slow = this.slow.filter(isOther)
        return this.recover(fault.links)
      case "Crash":
        this.crashes = this.crashes.filter(isOther)
        if (!this.crashes.some((other) => other.fault.broker === fault.broker)) network.startBroker(fault.broker)
        return
      case "Pause":
        this.pauses = this.pauses.filter(isOther)
        if (!this.pauses.some((other) => other.fault.broker === fault.broker)) network.resumeBroker(fault.broker)
    }
  }

  private recover(match: LinkMatch): void {
    for (const link of this.network.linksOf(match)) link.recover()
  }

  private tellBegan(fault: Fault, exchange: Exchange | undefined): number {
    const id = ++this.ids
    this.network.tell?.({ _tag: "FaultBegan", time: this.network.now, id, fault, exchange })
    return id
  }
}

const matchesRequest = ({ api, broker, client }: RequestMatch, exchange: Exchange): boolean =>
  (api === undefined || api === exchange.api.name) &&
  (broker === undefined || broker === exchange.broker) &&
  (client === undefined || client === exchange.client)

const apply = (fault: Fault, treatment: Treatment): void => {
  switch (fault._tag) {
    case "LoseRequest":
      treatment.isRequestLost = true
      return
    case "LoseResponse":
      treatment.isResponseLost = true
      return
    case "Reset":
      treatment.reset = treatment.reset === "request" ? "request" : fault.during
      return
    case "Throttle":
      treatment.throttleMs = Math.max(treatment.throttleMs, fault.delay)
      return
    case "Refuse":
      treatment.error = errorCode[fault.error as keyof typeof errorCode]
  }
}
