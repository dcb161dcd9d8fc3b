import type { Fault, LinkMatch, RequestMatch, ScheduleOptions } from "../../Fault.ts"
import { SeededRandom } from "../random.ts"

/** What a schedule is drawn from, with its time in milliseconds. */
export type DrawOptions = Omit<ScheduleOptions, "within"> & { readonly within: number }

type Kind = Fault["_tag"]

/** The random stream of schedules, apart from those of a simulation and of a network. */
const chanceOfSchedule = 1002

/** Those that clients send all the time come often: a fault that waits for its request shall not wait long. */
const frequentApis = ["Produce", "Produce", "Produce", "Fetch", "Fetch"]
const rareApis = ["Metadata", "ListOffsets", "InitProducerId"]
const frequentGroupApis = ["OffsetCommit", "Heartbeat"]
const rareGroupApis = ["JoinGroup", "SyncGroup", "FindCoordinator", "OffsetFetch"]

const ofCoordinators = ["CoordinatorLoadInProgress", "CoordinatorNotAvailable", "NotCoordinator"]
const ofLeaders = ["NotLeaderOrFollower", "UnknownTopicOrPartition", "KafkaStorageError"]

/** Errors that a healthy cluster gives too, and that pass by themselves. */
const transientErrors: Readonly<Record<string, ReadonlyArray<string>>> = {
  Produce: [...ofLeaders, "NotEnoughReplicas", "RequestTimedOut"],
  Fetch: [...ofLeaders, "FencedLeaderEpoch", "UnknownLeaderEpoch"],
  Metadata: ["LeaderNotAvailable", "UnknownTopicOrPartition"],
  ListOffsets: [...ofLeaders, "LeaderNotAvailable"],
  OffsetForLeaderEpoch: [...ofLeaders, "FencedLeaderEpoch", "UnknownLeaderEpoch"],
  InitProducerId: ["CoordinatorLoadInProgress", "CoordinatorNotAvailable"],
  OffsetCommit: ofCoordinators,
  Heartbeat: [...ofCoordinators, "RebalanceInProgress"],
  JoinGroup: ofCoordinators,
  SyncGroup: [...ofCoordinators, "RebalanceInProgress"],
  FindCoordinator: ["CoordinatorNotAvailable"],
  OffsetFetch: ["CoordinatorLoadInProgress", "NotCoordinator"]
}

/** A time in which a broker is down, hangs or is cut off. It ends early where another one has to be out. */
interface Outage {
  readonly broker: number
  readonly from: number
  until: number
}

class Draw {
  private readonly options: DrawOptions
  private readonly chance: SeededRandom
  private readonly maxOut: number
  private readonly outages: Array<Outage> = []

  constructor(options: DrawOptions) {
    this.options = options
    this.chance = new SeededRandom(options.seed, chanceOfSchedule)
    const minority = Math.floor((options.brokers.length - 1) / 2)
    this.maxOut = Math.min(options.maxBrokersOut ?? minority, options.brokers.length)
  }

  /** Walks through the kinds in one shuffled order after the other. */
  all(): ReadonlyArray<Fault> {
    const kinds = this.kinds()
    if (kinds.length === 0) throw new RangeError("A schedule without any kind of fault that fits; see its options")
    const { count, within } = this.options
    if (within < 10 * count) {
      throw new RangeError(`${within} ms are too short for ${count} faults; take more time, or fewer faults`)
    }
    const drawn: Array<readonly [at: number, fault: () => Fault]> = []
    let order: ReadonlyArray<Kind> = []
    for (let index = 0; index < count; index++) {
      if (index % kinds.length === 0) order = this.chance.shuffle(kinds)
      // In the first half of each of as many equal parts of the time: so what ends for the next has taken some time.
      const at = Math.floor((index + this.chance.next() / 2) * within / count)
      drawn.push([at, this.draw(order[index % kinds.length]!, at)])
    }
    return drawn.map(([at, fault]) => ({ _tag: "After", when: at, fault: fault() }))
  }

  private kinds(): ReadonlyArray<Kind> {
    const { clients = [], groups = [], kinds, topics = {} } = this.options
    const all: ReadonlyArray<readonly [kind: Kind, fits: boolean]> = [
      ["LoseRequest", true],
      ["LoseResponse", true],
      ["Reset", true],
      ["HalfOpen", true],
      ["Partition", this.maxOut > 0 || clients.length > 0],
      ["Slow", true],
      ["Throttle", true],
      ["Refuse", true],
      ["Crash", this.maxOut > 0],
      ["Pause", this.maxOut > 0],
      ["MoveLeader", Object.values(topics).some((partitions) => partitions > 0)],
      ["MoveCoordinator", groups.length > 0],
      ["JumpClock", true]
    ]
    return all.filter(([kind, fits]) => fits && (kinds === undefined || kinds.includes(kind))).map(([kind]) => kind)
  }

  /** How long an outage lasts is known when all is drawn. */
  private draw(kind: Kind, at: number): () => Fault {
    switch (kind) {
      case "Crash":
      case "Pause": {
        const outage = this.outage(at)
        return () => ({ _tag: kind, broker: outage.broker, duration: outage.until - outage.from })
      }
      case "Partition":
        return this.partition(at)
      default: {
        const fault = this.drawOther(kind, at)
        return () => fault
      }
    }
  }

  private drawOther(kind: Exclude<Kind, "Crash" | "Pause" | "Partition">, at: number): Fault {
    const { chance, options } = this
    const { groups = [], topics = {} } = options
    switch (kind) {
      case "LoseRequest":
      case "LoseResponse":
        return { _tag: kind, on: this.request() }
      case "Reset":
        return { _tag: kind, on: this.request(), during: chance.pick(["request", "response"]) }
      case "Throttle":
        return { _tag: kind, on: this.request(), delay: chance.between(50, 2000) }
      case "Refuse": {
        const on = this.request()
        const error = chance.pick(transientErrors[on.api!]!)
        return { _tag: kind, on: { ...on, times: chance.between(1, 3) }, error }
      }
      case "HalfOpen":
        return { _tag: kind, links: this.links() }
      case "Slow":
        return this.slow(at)
      case "MoveLeader": {
        const topic = chance.pick(Object.keys(topics).filter((name) => topics[name]! > 0))
        return { _tag: kind, topic, partition: chance.between(0, topics[topic]! - 1), broker: undefined }
      }
      case "MoveCoordinator":
        return { _tag: kind, group: chance.pick(groups), broker: undefined }
      default: {
        const by = chance.pick([-1, 1]) * chance.between(1000, chance.pick([10_000, 3_600_000]))
        return { _tag: "JumpClock", by }
      }
    }
  }

  private request(): RequestMatch {
    const { chance } = this
    const hasGroups = (this.options.groups ?? []).length > 0
    if (chance.next() < 0.25) return { api: chance.pick([...rareApis, ...(hasGroups ? rareGroupApis : [])]) }
    const api = chance.pick([...frequentApis, ...(hasGroups ? frequentGroupApis : [])])
    return { api, nth: chance.between(1, 5) }
  }

  private links(): LinkMatch {
    const { brokers, clients = [] } = this.options
    const isOfClient = clients.length > 0 && this.chance.next() < 0.5
    return isOfClient ? { clients: [this.chance.pick(clients)] } : { brokers: [this.chance.pick(brokers)] }
  }

  private slow(at: number): Fault {
    const { chance } = this
    const isNarrow = chance.next() < 0.4
    return {
      _tag: "Slow",
      links: this.links(),
      latency: chance.between(1, 300),
      jitter: chance.between(0, 300),
      bytesPerSecond: isNarrow ? chance.between(20, 200) * 1000 : undefined,
      duration: this.duration(at)
    }
  }

  private partition(at: number): () => Fault {
    const { chance } = this
    const { brokers, clients = [] } = this.options
    if (clients.length > 0 && (this.maxOut === 0 || chance.next() < 0.5)) {
      const links = { clients: [chance.pick(clients)], ...(chance.next() < 0.5 && { brokers: [chance.pick(brokers)] }) }
      const duration = this.duration(at)
      return () => ({ _tag: "Partition", links, duration })
    }
    const outage = this.outage(at)
    const links = { brokers: [outage.broker] }
    return () => ({ _tag: "Partition", links, duration: outage.until - outage.from })
  }

  /** From a hundredth to a sixth of the time, but a minute at most, and not past the end. */
  private duration(at: number): number {
    const { within } = this.options
    const wanted = this.chance.between(Math.ceil(within / 100), Math.min(60_000, Math.ceil(within / 6)))
    return Math.max(1, Math.min(wanted, within - at))
  }

  /** A broker that is out from now on; the first of the others that are is back before, if they are too many else. */
  private outage(at: number): Outage {
    const { chance, options } = this
    const out = this.outages.filter(({ until }) => until >= at)
    if (out.length >= this.maxOut) out.shift()!.until = at - 1
    const others = out.map(({ broker }) => broker)
    const broker = chance.pick(options.brokers.filter((id) => !others.includes(id)))
    const outage = { broker, from: at, until: at + this.duration(at) }
    this.outages.push(outage)
    return outage
  }
}

/** Draws faults from a seed. */
export const drawSchedule = (options: DrawOptions): Fault => {
  const { brokers, count, maxBrokersOut, seed, within } = options
  if (!Number.isSafeInteger(seed)) throw new RangeError(`A seed of ${seed}; it must be a whole number`)
  if (!Number.isSafeInteger(count) || count < 0) throw new RangeError(`${count} faults; take a whole number from 0 on`)
  if (!Number.isFinite(within) || within < 1) throw new RangeError(`Faults within ${within} ms; take 1 or more`)
  if (maxBrokersOut !== undefined && !(Number.isSafeInteger(maxBrokersOut) && maxBrokersOut >= 0)) {
    throw new RangeError(`${maxBrokersOut} brokers that may be out; take a whole number from 0 on`)
  }
  if (brokers.length === 0) throw new RangeError("A schedule needs the ids of the brokers")
  return { _tag: "All", faults: new Draw(options).all() }
}
