import type { Timer } from "../cluster/timers.ts"
import type { Link } from "./link.ts"
import type { Network } from "./network.ts"

interface Item {
  at: number
  readonly arrive: () => void
}

/**
 * One direction of a connection. As in TCP, what is put in comes out at the other end later and in its order, or never,
 * with all that follows it.
 */
export class Wire {
  private readonly network: Network
  private readonly link: Link
  /** In the order of their arrival. What is overdue waits for the network to let it through. */
  private readonly onTheWay: Array<Item> = []
  private timer: Timer | undefined
  /** When the last byte has left, if it is the sender who is slow. */
  private busyUntil = 0
  private state: "open" | "closed" | "cut" = "open"

  constructor(network: Network, link: Link) {
    this.network = network
    this.link = link
  }

  /** Whether what is put in is lost. */
  get isLossy(): boolean {
    return this.state !== "open"
  }

  /** Has something come out at the other end when so many bytes have got there. */
  send(bytes: number, arrive: () => void): void {
    if (this.state !== "open") return
    const { bytesPerSecond, jitter, latency } = this.network.conditions(this.link)
    const { now } = this.network
    const delay = jitter === 0 ? latency : latency + this.network.chance.next() * jitter
    const left = Math.max(now, this.busyUntil) + bytes * 1000 / bytesPerSecond
    this.busyUntil = left
    const last = this.onTheWay.at(-1)
    // Whole milliseconds: fractions would add steps to a simulation, and nothing else.
    const soonest = delay === 0 && left === now ? now : Math.ceil(left + delay)
    this.onTheWay.push({ at: last === undefined ? soonest : Math.max(soonest, last.at), arrive })
    if (this.onTheWay.length === 1) this.wait()
  }

  /** Takes nothing more; what is on its way still arrives. */
  close(): void {
    if (this.state === "open") this.state = "closed"
  }

  /** Loses everything, also what is on its way. */
  cut(): void {
    this.state = "cut"
    this.onTheWay.length = 0
    this.timer?.cancel()
    this.timer = undefined
  }

  /** The network has changed: what was held up goes on, and what was slow arrives no later than it would now. */
  recover(): void {
    const { now } = this.network
    const { bytesPerSecond, latency } = this.network.conditions(this.link)
    if (bytesPerSecond === Infinity) {
      this.busyUntil = now
      for (const item of this.onTheWay) item.at = Math.min(item.at, now + latency)
    }
    this.wait()
  }

  private wait(): void {
    this.timer?.cancel()
    const next = this.onTheWay[0]
    this.timer = next === undefined || this.network.isCutOff(this.link)
      ? undefined
      : this.network.schedule(next.at, () => this.arrive())
  }

  private arrive(): void {
    this.timer = undefined
    const { now } = this.network
    while (this.onTheWay.length > 0 && this.onTheWay[0]!.at <= now && !this.network.isCutOff(this.link)) {
      this.onTheWay.shift()!.arrive()
    }
    this.wait()
  }
}
