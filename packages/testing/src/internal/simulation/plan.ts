import * as Fault from "../../Fault.ts"
import type { Interleaving } from "../../Simulation.ts"
import { SeededRandom } from "../random.ts"
import type { Plan, ScheduledFault } from "./trial.ts"

/** A producer: how it is made, and what it does. All times are milliseconds. */
export interface ProducerPlan {
  readonly name: string
  /** From the start, until it has sent its records. */
  readonly startAt: number
  readonly records: number
  /** How long it takes to hand them over, about. */
  readonly sendingTime: number
  readonly acks: "none" | "leader" | "all"
  readonly compression: "none" | "gzip"
  readonly linger: number
  readonly batchBytes: number
  readonly bufferBytes: number
  readonly maxRecordBytes: number
  readonly deliveryTimeout: number
  readonly closeTimeout: number
  readonly onDelivery: { readonly concurrency: number; readonly maxPending: number } | undefined
}

/** How a member reads and commits. */
export type ReaderKind = "run" | "sink" | "commit"

/** A member of the group: how it is made, and when it is there. */
export interface MemberPlan {
  readonly name: string
  readonly kind: ReaderKind
  /** When it starts and stops, several times perhaps. The last time it stays. */
  readonly stays: ReadonlyArray<{ readonly from: number; readonly to: number | undefined }>
  readonly drainTimeout: number
  readonly closeTimeout: number
  readonly commitInterval: number
  readonly bufferBytes: number
  /** How long it takes to handle many records, and some; the first of these comes soon. */
  readonly handling: number
  readonly slowHandling: number
  readonly failures: number
  readonly minBytes: number
}

/** Everything that a seed decides. */
export interface WorkloadPlan extends Plan {
  readonly partitions: number
  readonly minInsyncReplicas: number
  readonly latency: number
  readonly jitter: number
  readonly replicationDelay: number
  readonly brokerSessionTimeout: number
  readonly requestTimeout: number
  readonly metadataMaxAge: number
  readonly assignor: "cooperative-sticky" | "range"
  readonly isolation: "read_committed" | "read_uncommitted"
  readonly producers: ReadonlyArray<ProducerPlan>
  readonly members: ReadonlyArray<MemberPlan>
  /** Nothing is broken before. */
  readonly calmUntil: number
  /** When everything that is broken is mended, and how long after it everything may take. */
  readonly healAt: number
  readonly settleWithin: number
}

/** The topic, and the group that reads it. */
export const topicName = "records"
export const groupId = "readers"
/** Who reads all partitions without a group. */
export const readerName = "reader"

export const brokerCount = 3
export const sessionTimeout = 6000
export const rebalanceTimeout = 8000

/** What is drawn from a seed apart from each other. */
export const concern = { plan: 1, producer: 100, member: 200 } as const

const interleavings: ReadonlyArray<Interleaving> = [
  {},
  { extraYields: 0.05 },
  { earlyTimers: 0.02 },
  { shuffle: true, extraYields: 0.02 }
]

const producerPlan = (chance: SeededRandom, name: string, acks: ProducerPlan["acks"]): ProducerPlan => ({
  name,
  startAt: chance.between(0, 1500),
  records: chance.between(680, 760),
  sendingTime: chance.pick([18_000, 30_000, 42_000]),
  acks,
  compression: chance.next() < 0.25 ? "gzip" : "none",
  linger: chance.pick([0, 0, 5, 50]),
  batchBytes: chance.pick([400, 2000, 16_000]),
  bufferBytes: chance.pick([3000, 20_000, 200_000]),
  maxRecordBytes: 600,
  deliveryTimeout: chance.pick([2000, 8000, 30_000]),
  closeTimeout: chance.pick([0, 5, 1000, 30_000]),
  onDelivery: chance.next() < 0.75
    ? { concurrency: chance.pick([1, 1, 4]), maxPending: chance.pick([10, 100, 1000]) }
    : undefined
})

const memberPlan = (chance: SeededRandom, name: string, isFirst: boolean, end: number): MemberPlan => {
  const stays: Array<{ from: number; to: number | undefined }> = []
  let from = isFirst ? 0 : chance.between(0, 3000)
  while (chance.next() < 0.4 && from < end - 8000) {
    const to = chance.between(from + 2000, end - 4000)
    stays.push({ from, to })
    from = to + chance.between(0, 4000)
  }
  stays.push({ from, to: undefined })
  return {
    name,
    kind: chance.pick(["run", "run", "sink", "commit"] as const),
    stays,
    drainTimeout: chance.pick([500, 3000, 10_000]),
    closeTimeout: chance.pick([500, 5000]),
    commitInterval: chance.pick([200, 1000]),
    bufferBytes: chance.pick([4000, 50_000]),
    handling: chance.pick([0, 1, 5]),
    slowHandling: chance.pick([300, 1500, 8000]),
    failures: chance.pick([0, 0, 1, 3]),
    minBytes: chance.pick([1, 1, 500, 3000])
  }
}

/** What a seed comes to. At least 2,000 records, three members and twenty faults of ten kinds. */
export const makePlan = (seed: number): WorkloadPlan => {
  const chance = new SeededRandom(seed, concern.plan)
  const calmUntil = 12_000
  const healAt = 50_000
  const partitions = chance.between(3, 7)
  const acks = chance.pick([["all", "all", "all"], ["all", "all", "leader"], ["all", "all", "none"]] as const)
  const producers = acks.map((each, index) => producerPlan(chance, `producer-${"abc"[index]}`, each))
  const members = ["a", "b", "c"].map((letter, index) => memberPlan(chance, `member-${letter}`, index === 0, healAt))
  return {
    seed,
    interleaving: interleavings[seed % interleavings.length]!,
    faults: drawFaults(seed, {
      partitions,
      calmUntil,
      healAt,
      clients: [...producers, ...members].map(({ name }) => name)
    }),
    partitions,
    minInsyncReplicas: chance.pick([1, 2, 3]),
    latency: chance.pick([0, 1, 5]),
    jitter: chance.pick([0, 3]),
    replicationDelay: chance.pick([0, 2, 10]),
    brokerSessionTimeout: chance.pick([3000, 9000]),
    requestTimeout: chance.pick([1500, 4000]),
    metadataMaxAge: chance.pick([2000, 60_000]),
    assignor: chance.next() < 0.75 ? "cooperative-sticky" : "range",
    isolation: chance.next() < 0.5 ? "read_committed" : "read_uncommitted",
    producers,
    members,
    calmUntil,
    healAt,
    settleWithin: 120_000
  }
}

const drawFaults = (
  seed: number,
  { calmUntil, clients, healAt, partitions }: {
    readonly partitions: number
    readonly calmUntil: number
    readonly healAt: number
    readonly clients: ReadonlyArray<string>
  }
): ReadonlyArray<ScheduledFault> => {
  const drawn = Fault.schedule({
    seed,
    count: 32,
    within: healAt - calmUntil - 1000,
    brokers: Array.from({ length: brokerCount }, (_, index) => index + 1),
    topics: { [topicName]: partitions },
    groups: [groupId],
    clients
  })
  return (drawn._tag === "All" ? drawn.faults : [drawn]).map((fault) =>
    fault._tag === "After" && typeof fault.when === "number"
      ? { at: calmUntil + fault.when, fault: fault.fault }
      : { at: calmUntil, fault }
  )
}
