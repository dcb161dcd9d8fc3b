import type * as Consumer from "@sluice/kafka/Consumer"

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
  readonly compression: "none" | "gzip" | "snappy" | "lz4"
  readonly linger: number
  readonly batchBytes: number
  readonly bufferBytes: number
  readonly maxRecordBytes: number
  readonly deliveryTimeout: number
  readonly closeTimeout: number
  readonly onDelivery: { readonly concurrency: number; readonly maxPending: number } | undefined
  readonly habits: ProducerHabits
  readonly tuning: ProducerTuning
}

/** Which partitioner a producer has, by its name in `Partitioner`. */
export type PartitionerName = "murmur2" | "fnv1a" | "crc32" | "kafkajsLegacy" | "sticky" | "roundRobin" | "random"

/** How a producer batches, routes and reports, drawn apart from its other settings. */
export interface ProducerTuning {
  readonly maxInFlight: number
  readonly batchRecords: number | undefined
  /** Unbounded if undefined. */
  readonly retries: number | undefined
  readonly partitioner: PartitionerName
  readonly reportOrder: "partition" | "none"
}

/** What else a producer does that others do not, drawn apart from its settings. */
export interface ProducerHabits {
  /** Only acks all has a choice. */
  readonly idempotent: boolean
  /** Which share of its records cannot be sent as they are. */
  readonly flawed: number
  /** Writes over a record's bytes as soon as it was accepted. */
  readonly reusesBuffers: boolean
  /** What else the delivery handler does: send records of its own, or never end. */
  readonly handler: "plain" | "sends" | "hangs"
  /** How long closing waits for handlers. */
  readonly handlerCloseTimeout: number
  /** How long after closing began, and after each other, the fiber that closes is interrupted. */
  readonly interruptions: ReadonlyArray<number>
}

/** How a member reads and commits. */
export type ReaderKind = "run" | "layer" | "process" | "batch" | "sink" | "partitions" | "commit"

/** A reader whose handlers are the client's: it lets them end, or ends them. */
export const ownsHandlers = (kind: ReaderKind): boolean =>
  kind === "run" || kind === "layer" || kind === "process" || kind === "batch"

/** How a member that runs handlers runs them. */
export interface RunPlan {
  /** Default for what takes batches, and for streams. */
  readonly order: "partition" | "key" | "none"
  readonly concurrency: number | undefined
  readonly maxAhead: number | undefined
  readonly onFailure: "fail" | "skip"
  /** The largest batch. */
  readonly maxRecords: number
  /** Whether a handler of batches gives back a part now and then. */
  readonly partly: boolean
}

/** A time in a group. */
export interface Stay {
  readonly from: number
  /** `undefined` for the last one, which does not end. */
  readonly to: number | undefined
  /** Its process is killed then: nobody is told. Default: it leaves. */
  readonly isKilled?: boolean
  readonly assignor: ReadonlyArray<AssignorName>
  /** Which step of going over from one assignor to another this is. */
  readonly step: number
}

/** A time in which the process of a member stands still. */
export interface Stall {
  readonly at: number
  readonly until: number
}

/** What else a member does, drawn apart from its settings. */
export interface MemberHabits {
  /** How long before it stops the first of its handlers begins that never ends by itself: only where its client ends it. */
  readonly hangs: number | undefined
  /** A time from which on such a handler begins, while it stays; once everything is mended it ends. */
  readonly hangsFrom: number | undefined
  /** How long after it begins to close, and after each other, the fiber that closes is interrupted. */
  readonly interruptions: ReadonlyArray<number>
  /** Whether what reads is interrupted, and is awaited before its consumer closes, or not. */
  readonly interruptsReader: "no" | "before" | "meanwhile"
}

/** What happens beside the topic and the group, in small ones of their own. */
export type SideKind = "latest" | "deleted" | "undecodable" | "stuck" | "moved" | "once" | "appears"

/** A member of the group: how it is made, and when it is there. */
export interface MemberPlan {
  readonly name: string
  readonly kind: ReaderKind
  /** When it starts and stops, several times perhaps. The last time it stays. */
  readonly stays: ReadonlyArray<Stay>
  readonly stalls: ReadonlyArray<Stall>
  /** Whether it has a name of its own in the group: it does not leave then. */
  readonly isStatic: boolean
  readonly run: RunPlan
  readonly commitCount: number | undefined
  readonly drainTimeout: number
  readonly closeTimeout: number
  readonly commitInterval: number
  readonly bufferBytes: number
  /** How long it takes to handle many records, and some; the first of these comes soon. */
  readonly handling: number
  readonly slowHandling: number
  readonly failures: number
  readonly minBytes: number
  readonly habits: MemberHabits
}

/** Everything that a seed decides. */
export interface WorkloadPlan extends Plan {
  readonly partitions: number
  /** When the topic gets more partitions, and how many it has then. */
  readonly growth: { readonly at: number; readonly partitions: number } | undefined
  /** When another topic, into which the first producer writes, is deleted and made again. */
  readonly deletion: { readonly at: number; readonly until: number } | undefined
  /** The topic's `max.message.bytes`; by default larger than any batch. */
  readonly maxMessageBytes: number | undefined
  readonly minInsyncReplicas: number
  readonly latency: number
  readonly jitter: number
  readonly replicationDelay: number
  readonly brokerSessionTimeout: number
  readonly requestTimeout: number
  readonly metadataMaxAge: number
  /** Whether all members keep what they own while the group rebalances. */
  readonly cooperative: boolean
  /** Whether members subscribe by a pattern. */
  readonly byPattern: boolean
  readonly isolation: "read_committed" | "read_uncommitted"
  readonly producers: ReadonlyArray<ProducerPlan>
  readonly members: ReadonlyArray<MemberPlan>
  readonly side: { readonly kind: SideKind; readonly startAt: number }
  /** Nothing is broken before. */
  readonly calmUntil: number
  /** When everything that is broken is mended, and how long after it everything may take. */
  readonly healAt: number
  readonly settleWithin: number
}

/** The topic, and the group that reads it. */
export const topicName = "records"
export const groupId = "readers"
/** A topic that is deleted and made again, and one that never is made. */
export const deletedTopic = "deleted"
export const missingTopic = "missing"
/** Who reads all partitions without a group. */
export const readerName = "reader"

export const brokerCount = 3
export const sessionTimeout = 6000
export const rebalanceTimeout = 8000
export const heartbeatInterval = 1000
/** How long clients try to ask for metadata. */
export const lookupTimeout = 10_000

/** In bytes, with what a batch adds to it. */
export const largestRecord = 700

type AssignorName = Consumer.AssignorName

/** What is drawn from a seed apart from each other. */
export const concern = {
  plan: 1,
  topic: 3,
  afterwards: 4,
  producer: 100,
  member: 200,
  /** What it is, how it sends, and how it handles reports. */
  producerHabits: 300,
  sendingHabits: 310,
  reportHabits: 320,
  tuning: 330,
  memberHabits: 350,
  cutOff: 360,
  group: 370,
  memberRun: 380,
  memberPresence: 390,
  side: 400
} as const

const interleavings: ReadonlyArray<Interleaving> = [
  {},
  { extraYields: 0.05 },
  { earlyTimers: 0.02 },
  { shuffle: true, extraYields: 0.02 }
]

const producerHabits = (chance: SeededRandom, acks: ProducerPlan["acks"]): ProducerHabits => {
  const idempotent = acks === "all" && chance.next() < 0.9
  const flawed = chance.pick([0, 0.01, 0.03])
  const reusesBuffers = chance.next() < 0.5
  const handler = chance.pick(["plain", "sends", "hangs"] as const)
  return {
    idempotent,
    flawed,
    reusesBuffers,
    handler,
    // Where handlers end, all of them have the time to.
    handlerCloseTimeout: handler === "hangs" ? chance.pick([500, 2000]) : 60_000,
    interruptions: Array.from({ length: chance.pick([0, 1, 2]) }, () => chance.pick([0, 1, 20, 300]))
  }
}

const producerTuning = (chance: SeededRandom, { handler }: ProducerHabits): ProducerTuning => {
  const maxInFlight = chance.pick([1, 2, 3, 5, 5, 5])
  return {
    maxInFlight,
    batchRecords: chance.pick([undefined, undefined, 1, 4, 20]),
    retries: chance.pick([undefined, undefined, undefined, undefined, 1, 4]),
    partitioner: chance.pick(
      ["murmur2", "murmur2", "murmur2", "fnv1a", "crc32", "kafkajsLegacy", "sticky", "roundRobin", "random"] as const
    ),
    // A handler that never ends would hold up its partition for ever.
    reportOrder: handler === "hangs" ? "none" : chance.pick(["none", "partition"] as const)
  }
}

const habitsAndTuning = (
  habits: ProducerHabits,
  chance: SeededRandom
): Pick<ProducerPlan, "habits" | "tuning"> => ({ habits, tuning: producerTuning(chance, habits) })

const producerPlan = (
  chance: SeededRandom,
  name: string,
  acks: ProducerPlan["acks"]
): Omit<ProducerPlan, "habits" | "tuning"> => ({
  name,
  startAt: chance.between(0, 1500),
  records: chance.between(640, 720),
  sendingTime: chance.pick([18_000, 30_000, 42_000]),
  acks,
  compression: chance.pick(["none", "none", "none", "gzip", "snappy", "lz4"] as const),
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

/** A member without what is drawn apart from its settings. */
type MemberSettings = Omit<MemberPlan, "habits" | "stays" | "stalls" | "isStatic" | "run" | "commitCount"> & {
  readonly stays: ReadonlyArray<{ readonly from: number; readonly to: number | undefined }>
}

const memberPlan = (chance: SeededRandom, name: string, isFirst: boolean, end: number): MemberSettings => {
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

const memberHabits = (chance: SeededRandom, calmUntil: number, healAt: number): MemberHabits => ({
  hangs: chance.next() < 0.6 ? chance.between(0, 1500) : undefined,
  hangsFrom: chance.next() < 0.3 ? chance.between(calmUntil / 2, healAt - 10_000) : undefined,
  interruptions: Array.from({ length: chance.pick([0, 1, 2, 2]) }, () => chance.pick([0, 1, 20, 300])),
  interruptsReader: chance.pick(["no", "before", "meanwhile"] as const)
})

/** The kind again, where others do the same in another way. */
const kindOf = (chance: SeededRandom, kind: ReaderKind): ReaderKind => {
  switch (kind) {
    case "run":
      return chance.pick(["run", "run", "process", "batch"] as const)
    case "sink":
      return chance.pick(["sink", "partitions"] as const)
    default:
      return kind
  }
}

const runPlan = (chance: SeededRandom): Pick<MemberPlan, "run" | "commitCount"> => {
  const order = chance.pick(["partition", "key", "key", "none"] as const)
  return {
    run: {
      order,
      concurrency: order === "partition" ? chance.pick([undefined, undefined, 2]) : chance.pick([undefined, 1, 2, 5]),
      maxAhead: chance.pick([undefined, undefined, 1, 4, 30]),
      onFailure: chance.pick(["fail", "fail", "skip"] as const),
      maxRecords: chance.pick([1, 7, 50]),
      partly: chance.next() < 0.5
    },
    commitCount: chance.pick([undefined, undefined, 1, 20])
  }
}

/** Assignors of members that are restarted one after the other to go over from the first to the last. */
const steps = (chance: SeededRandom): ReadonlyArray<ReadonlyArray<AssignorName>> => {
  const kind = chance.next()
  if (kind < 0.55) return [["cooperative-sticky"]]
  if (kind < 0.8) return [[chance.pick(["range", "range", "sticky", "roundrobin"] as const)]]
  const eager = chance.pick(["range", "sticky", "roundrobin"] as const)
  return [[eager], ["cooperative-sticky", eager], ["cooperative-sticky"]]
}

/**
 * When a member is there, and how. Members that go over to another assignor are all restarted twice, and are neither
 * static nor killed: what is left of them in the group would keep the others from going over.
 */
const presence = (
  chance: SeededRandom,
  kind: ReaderKind,
  assignors: ReadonlyArray<ReadonlyArray<AssignorName>>,
  stays: MemberSettings["stays"],
  calmUntil: number,
  healAt: number
): Pick<MemberPlan, "stays" | "stalls" | "isStatic"> => {
  if (assignors.length > 1) {
    const first = chance.between(4000, 10_000)
    const second = chance.between(28_000, 36_000)
    const times = [stays[0]!.from, first, second, undefined]
    return {
      stays: assignors.map((assignor, step) => ({
        from: times[step]! + (step === 0 ? 0 : chance.between(0, 2000)),
        to: times[step + 1],
        assignor,
        step
      })),
      stalls: [],
      isStatic: false
    }
  }
  const [assignor] = assignors as [ReadonlyArray<AssignorName>]
  const isKilled = chance.next() < 0.5
  const stallAt = chance.between(calmUntil, healAt - 22_000)
  return {
    stays: stays.map((stay) => ({
      ...stay,
      isKilled: isKilled && stay.to !== undefined && stay.to > calmUntil,
      assignor,
      step: 0
    })),
    stalls: chance.next() < 0.4
      ? [{ at: stallAt, until: stallAt + chance.pick([1000, 4000, sessionTimeout + 2000, 15_000]) }]
      : [],
    // Its name may be taken by a late request of its own, which a layer only logs.
    isStatic: chance.next() < 0.25 && kind !== "layer"
  }
}

/** A member that is cut off until it is surely out of its group. */
const cutOff = (
  chance: SeededRandom,
  members: ReadonlyArray<MemberPlan>,
  calmUntil: number,
  healAt: number
): ReadonlyArray<ScheduledFault> =>
  chance.next() < 0.5
    ? []
    : [{
      at: chance.between(calmUntil, healAt - 2 * sessionTimeout),
      fault: Fault.partition({ clients: [chance.pick(members).name] }, sessionTimeout + chance.between(2000, 5000))
    }]

const deletionPlan = (chance: SeededRandom): WorkloadPlan["deletion"] => {
  const at = chance.pick([3000, 3500, 15_000])
  return { at, until: at + chance.pick([300, 1000, 3000]) }
}

const topicPlan = (
  chance: SeededRandom,
  partitions: number
): Pick<WorkloadPlan, "deletion" | "growth" | "maxMessageBytes"> => ({
  maxMessageBytes: chance.pick([undefined, undefined, undefined, 450, 700, 1500]),
  // While nothing is broken: clients have no excuse then to learn of it late.
  growth: chance.next() < 0.4
    ? { at: chance.between(3000, 7000), partitions: partitions + chance.between(1, 2) }
    : undefined,
  deletion: chance.next() < 0.5 ? deletionPlan(chance) : undefined
})

/**
 * Who works when all is mended and the aftermath is over, so that what may only happen in trouble is judged also after
 * trouble: a producer of its own, and a member that goes and comes.
 */
const afterwards = (
  chance: SeededRandom,
  members: ReadonlyArray<MemberPlan>,
  healAt: number
): Pick<WorkloadPlan, "producers" | "members"> => {
  // See `Trouble`; and what has gone silent must be found out first.
  const from = healAt + sessionTimeout + rebalanceTimeout + 500
  const away = chance.between(0, members.length - 1)
  const to = from + chance.between(500, 2500)
  return {
    producers: [{
      ...producerPlan(chance, "producer-d", "all"),
      ...habitsAndTuning({ ...producerHabits(chance, "all"), handler: "plain" }, chance),
      startAt: from,
      records: chance.between(100, 140),
      sendingTime: 9000
    }],
    members: members.map((member, index) => {
      const last = member.stays.at(-1)!
      return index !== away ? member : {
        ...member,
        stays: [
          ...member.stays.slice(0, -1),
          { ...last, to },
          { ...last, from: to + chance.between(500, 3000) }
        ]
      }
    })
  }
}

/** What a seed comes to. At least 2,000 records, three members and twenty faults of ten kinds. */
export const makePlan = (seed: number): WorkloadPlan => {
  const chance = new SeededRandom(seed, concern.plan)
  const calmUntil = 12_000
  const healAt = 50_000
  const partitions = chance.between(3, 7)
  const acks = chance.pick([["all", "all", "all"], ["all", "all", "leader"], ["all", "all", "none"]] as const)
  const producers = acks.map((each, index) => ({
    ...producerPlan(chance, `producer-${"abc"[index]}`, each),
    ...habitsAndTuning(
      producerHabits(new SeededRandom(seed, concern.producerHabits + index), each),
      new SeededRandom(seed, concern.tuning + index)
    )
  }))
  const group = new SeededRandom(seed, concern.group)
  const assignors = steps(group)
  const byPattern = group.next() < 0.2
  const members = ["a", "b", "c"].map((letter, index): MemberPlan => {
    const member = memberPlan(chance, `member-${letter}`, index === 0, healAt)
    const others = new SeededRandom(seed, concern.memberHabits + index)
    const running = new SeededRandom(seed, concern.memberRun + index)
    const isLayer = member.kind === "run" && others.next() < 0.3
    const kind = isLayer ? "layer" : kindOf(running, member.kind)
    return {
      ...member,
      kind,
      habits: memberHabits(others, calmUntil, healAt),
      ...runPlan(running),
      ...presence(
        new SeededRandom(seed, concern.memberPresence + index),
        kind,
        assignors,
        member.stays,
        calmUntil,
        healAt
      )
    }
  })
  const beside = new SeededRandom(seed, concern.side)
  const later = afterwards(new SeededRandom(seed, concern.afterwards), members, healAt)
  return {
    seed,
    interleaving: interleavings[seed % interleavings.length]!,
    faults: [
      ...drawFaults(seed, {
        partitions,
        calmUntil,
        healAt,
        clients: [...producers, ...members].map(({ name }) => name)
      }),
      ...cutOff(new SeededRandom(seed, concern.cutOff), members, calmUntil, healAt)
    ],
    partitions,
    ...topicPlan(new SeededRandom(seed, concern.topic), partitions),
    minInsyncReplicas: chance.pick([1, 2, 3]),
    latency: chance.pick([0, 1, 5]),
    jitter: chance.pick([0, 3]),
    replicationDelay: chance.pick([0, 2, 10]),
    brokerSessionTimeout: chance.pick([3000, 9000]),
    requestTimeout: chance.pick([1500, 4000]),
    metadataMaxAge: chance.pick([2000, 60_000]),
    cooperative: assignors.length === 1 && assignors[0]![0] === "cooperative-sticky",
    byPattern,
    isolation: chance.next() < 0.5 ? "read_committed" : "read_uncommitted",
    producers: [...producers, ...later.producers],
    members: later.members,
    side: {
      kind: beside.pick(["latest", "deleted", "undecodable", "stuck", "moved", "moved", "once", "appears"] as const),
      startAt: beside.between(200, 5000)
    },
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
