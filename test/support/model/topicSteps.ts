/** Steps that make, change, name and delete topics. */
import { CreatePartitions } from "@sluice/kafka/internal/protocol/api/createPartitions"
import { CreateTopics } from "@sluice/kafka/internal/protocol/api/createTopics"
import { DeleteTopics } from "@sluice/kafka/internal/protocol/api/deleteTopics"
import { Metadata } from "@sluice/kafka/internal/protocol/api/metadata"
import { zeroUuid } from "@sluice/kafka/internal/protocol/field"

import type { Names } from "./names.ts"
import { type Step, step } from "./script.ts"
import type { World } from "./world.ts"

const slots = ["t1", "t2", "t3", "t4", "t.5", "t_5"]

/** A name that is a slot's, for the most part. */
const topicName = (world: World): (names: Names) => string => {
  const { random } = world
  const slot = random.pick(slots)
  const illegal = random.pick(["", ".", "..", "a b", "ü", "x".repeat(250)])
  return random.percent(90) ? (names) => names.of(slot) : () => illegal
}

const configChoices: ReadonlyArray<ReadonlyArray<{ readonly name: string; readonly value: string | null }>> = [
  [{ name: "max.message.bytes", value: "700" }],
  [{ name: "retention.ms", value: "1000000" }, { name: "min.insync.replicas", value: "1" }],
  [{ name: "no.such.setting", value: "1" }],
  [{ name: "max.message.bytes", value: "many" }],
  [{ name: "max.message.bytes", value: null }],
  [{ name: "max.message.bytes", value: "-1" }],
  [{ name: "min.insync.replicas", value: "0" }],
  [{ name: "cleanup.policy", value: "nothing" }]
]

/** One CreateTopics, of one or two. */
export const createTopics = (world: World, connection: number): Step => {
  const { random } = world
  const validateOnly = random.percent(10)
  const specs = Array.from({ length: random.weighted([[4, 1], [2, 2]]) }, () => {
    const isManual = random.percent(20)
    const assignments = random.pick([
      [[1]],
      [[1], [1]],
      [[2]],
      [[]],
      [[1, 1]],
      [[1], [1, 2]]
    ]).map((brokerIds, index) => ({ partitionIndex: index, brokerIds }))
    if (random.percent(10)) { for (const one of assignments) one.partitionIndex += random.pick([1, -1]) }
    const isConfigured = random.percent(35)
    return {
      name: topicName(world),
      spec: {
        numPartitions: isManual && random.percent(80)
          ? -1
          : random.weighted([[3, -1], [4, 1], [4, 3], [1, 0], [1, -2]]),
        replicationFactor: isManual && random.percent(80)
          ? -1
          : random.weighted([[4, -1], [8, 1], [1, 2], [1, 0], [1, -2]]),
        assignments: isManual ? assignments : [],
        configs: isConfigured ? random.pick(configChoices) : []
      }
    }
  })
  return step(connection, CreateTopics, random.between(5, 7), (names) => ({
    topics: specs.map(({ name, spec }) => ({ name: name(names), ...spec })),
    validateOnly
  }), {
    observe: (_, body) => {
      for (const topic of body?.topics ?? []) {
        const slot = slotOf(topic.name)
        if (topic.errorCode === 0 && !validateOnly && slot !== undefined) world.addTopic(slot, topic.numPartitions)
      }
    }
  })
}

const slotOf = (name: string | null): string | undefined => slots.find((slot) => name?.startsWith(`${slot}-`))

/** One DeleteTopics, by name or id. */
export const deleteTopics = (world: World, connection: number): Step => {
  const { random } = world
  const version = random.between(4, 6)
  const wanted = Array.from({ length: random.weighted([[5, 1], [1, 2]]) }, () => {
    const slot = random.percent(85) ? random.pick(slots) : "t7"
    return { slot, by: random.weighted([[4, "name"], [4, "id"], [1, "both"], [1, "neither"]]) }
  })
  return step(connection, DeleteTopics, version, (names) =>
    version < 6
      ? { topicNames: wanted.map(({ slot }) => names.of(slot)), timeoutMs: 5000 }
      : {
        topics: wanted.map(({ by, slot }) => ({
          name: by === "name" || by === "both" ? names.of(slot) : null,
          topicId: by === "id" || by === "both" ? names.topicId(slot) : zeroUuid
        })),
        timeoutMs: 5000
      }, {
    observe: (_, body) => {
      for (const { errorCode, name } of body?.responses ?? []) {
        const slot = slotOf(name)
        if (errorCode === 0 && slot !== undefined) world.removeTopic(slot)
      }
    }
  })
}

/** One Metadata: of all topics, of some by name, or by id. */
export const metadata = (world: World, connection: number): Step => {
  const { random } = world
  const version = random.between(9, 13)
  const kind = random.weighted([[2, "all"], [1, "none"], [5, "names"], [version >= 12 ? 4 : 0, "ids"]])
  const wanted = Array.from({ length: random.between(1, 3) }, () => ({
    name: topicName(world),
    slot: random.percent(85) ? random.pick(slots) : "t7"
  }))
  return step(connection, Metadata, version, (names) => ({
    allowAutoTopicCreation: false,
    topics: kind === "all" ?
      null :
      kind === "none" ?
      [] :
      wanted.map(({ name, slot }) =>
        kind === "names" ? { name: name(names) } : { name: null, topicId: names.topicId(slot) }
      )
  }))
}

/** One CreatePartitions. */
export const createPartitions = (world: World, connection: number): Step => {
  const { random } = world
  const name = topicName(world)
  const present = random.pick(Array.from(world.topics.values(), (partitions) => partitions.length))
  const count = random.weighted([[6, (present ?? 1) + 1], [2, present ?? 1], [1, 0], [1, -1], [1, 5]])
  const assignments = random.weighted([
    [6, null],
    [2, [{ brokerIds: [1] }]],
    [1, [{ brokerIds: [1] }, { brokerIds: [1] }]],
    [1, [{ brokerIds: [2] }]],
    [1, [{ brokerIds: [] }]],
    [1, [{ brokerIds: [1, 1] }]]
  ])
  const validateOnly = random.percent(10)
  return step(connection, CreatePartitions, random.between(0, 3), (names) => ({
    topics: [{ name: name(names), count, assignments }],
    timeoutMs: 5000,
    validateOnly
  }), {
    observe: (_, body) => {
      const result = body?.results[0]
      const partitions = world.topics.get(slotOf(result?.name ?? null) ?? "")
      if (result?.errorCode !== 0 || validateOnly || partitions === undefined) return
      while (partitions.length < count) partitions.push({ start: 0, end: 0 })
    }
  })
}
