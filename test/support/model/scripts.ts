/** Scripts by seed, each with a theme of its own. */
import { Fetch } from "@sluice/kafka/internal/protocol/api/fetch"
import { ListOffsets } from "@sluice/kafka/internal/protocol/api/listOffsets"
import { OffsetFetch } from "@sluice/kafka/internal/protocol/api/offsetFetch"

import * as Groups from "./groupSteps.ts"
import * as Logs from "./logSteps.ts"
import { groupSlots } from "./names.ts"
import { Random } from "./random.ts"
import { type Step, step, type Writer } from "./script.ts"
import * as Topics from "./topicSteps.ts"
import { firstSteps, World } from "./world.ts"

/** What a script is mostly about. */
export const themes = ["groups", "logs", "mixed", "topics"] as const

/** The theme of a seed. */
export const themeOf = (seed: number): (typeof themes)[number] => themes[seed % themes.length]!

type Make = (world: World, connection: number) => Step

const logSteps: ReadonlyArray<readonly [number, Make]> = [
  [12, Logs.produce],
  [7, Logs.fetch],
  [3, Logs.listOffsets],
  [2, Logs.offsetForLeaderEpoch],
  [2, Logs.deleteRecords],
  [1, Logs.initProducerId]
]

const topicSteps: ReadonlyArray<readonly [number, Make]> = [
  [4, Topics.createTopics],
  [2, Topics.createPartitions],
  [3, Topics.deleteTopics],
  [4, Topics.metadata]
]

const offsetSteps: ReadonlyArray<readonly [number, Make]> = [
  [4, (world, connection) => Groups.commit(world, world.random.pick(world.members), connection)],
  [3, Groups.offsetFetch],
  [1, Groups.findCoordinator]
]

const memberSteps: ReadonlyArray<readonly [number, (...args: Parameters<typeof Groups.leave>) => Step]> = [
  [24, Groups.progress],
  [2, Groups.join],
  [2, Groups.sync],
  [3, Groups.heartbeat],
  [2, Groups.leave],
  [3, Groups.commit]
]

/** Connections on which something parks that is no member's. */
const otherConnections = [6, 7, 8]

const stepsOfEachScript = { groups: 60, logs: 70, mixed: 70, topics: 30 }

/** Writes the script of a seed, as the answers come in. */
export const scriptOf = (seed: number): Writer => {
  const theme = themeOf(seed)
  const random = new Random(seed)
  const world = new World(random)
  const first = firstSteps(world)
  let written = 0

  const write = (isFree: (connection: number) => boolean): Step => {
    const connection = otherConnections.find(isFree)
    const kind = random.weighted(
      {
        groups: [[12, "member"], [2, "offset"]] as const,
        logs: [[1, "log"]] as const,
        mixed: [[4, "member"], [3, "offset"], [5, "log"], [1, "topic"]] as const,
        topics: [[8, "topic"], [2, "log"], [1, "offset"]] as const
      }[theme] as ReadonlyArray<readonly [number, "member" | "offset" | "log" | "topic"]>
    )
    const member = random.pick(world.members.filter((one) => isFree(one.connection)))
    // Somebody asks for a member whose own connection is waiting, too.
    const asksElsewhere = connection !== undefined && (member === undefined || random.percent(6))
    if (kind === "member" && asksElsewhere) {
      return random.weighted(memberSteps)(world, random.pick(world.members), connection)
    }
    if (kind === "member" && member !== undefined) return random.weighted(memberSteps)(world, member, member.connection)
    // Nothing parks on connection 0.
    const choices = kind === "log" ? logSteps : kind === "topic" ? topicSteps : offsetSteps
    const make = random.weighted(choices)
    return connection === undefined && make === Logs.fetch
      ? Logs.produce(world, 0)
      : make(world, make === Logs.fetch ? connection! : 0)
  }

  return (isFree) => {
    const number = written++
    if (number < first.length) return first[number]
    const last = number - stepsOfEachScript[theme]
    return last < 0 ? write(isFree) : lastSteps(world)[last]
  }
}

/** What is there in the end: the logs, and the offsets of all groups. */
const lastSteps = (world: World): ReadonlyArray<Step> => {
  const partitions = Array.from(world.topics, ([topic, known]) => ({ topic, known }))
  return [
    step(9, ListOffsets, 11, (names) => ({
      replicaId: -1,
      timeoutMs: 1000,
      isolationLevel: 0,
      topics: partitions.map(({ known, topic }) => ({
        name: names.of(topic),
        partitions: known.flatMap((_, partitionIndex) => [{ partitionIndex, timestamp: -1 }])
      }))
    })),
    step(9, Fetch, 12, (names) => ({
      maxWaitMs: 0,
      minBytes: 0,
      topics: partitions.map(({ known, topic }) => ({
        topic: names.of(topic),
        partitions: known.map(({ start }, partition) => ({
          partition,
          fetchOffset: start,
          partitionMaxBytes: 1_000_000
        }))
      }))
    })),
    step(9, OffsetFetch, 9, (names) => ({
      groups: groupSlots.map((group) => ({ groupId: names.of(group), topics: null }))
    }))
  ]
}
