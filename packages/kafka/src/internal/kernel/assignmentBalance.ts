import type { GroupMember } from "./assignor.ts"
import type { TopicPartition } from "./topicPartition.ts"

/**
 * What a member holds while an assignment is made. `kept` was its own before, `placed` is new to it and costs nothing
 * to move on. Neither has a topic without partitions.
 */
class Holding {
  readonly member: GroupMember
  readonly topics = new Set<string>()
  readonly kept = new Map<string, Array<number>>()
  readonly placed = new Map<string, Array<number>>()
  count = 0

  constructor(member: GroupMember) {
    this.member = member
  }

  countOf(topic: string): number {
    return (this.kept.get(topic)?.length ?? 0) + (this.placed.get(topic)?.length ?? 0)
  }

  add(to: Map<string, Array<number>>, topic: string, partition: number): void {
    const partitions = to.get(topic)
    if (partitions === undefined) to.set(topic, [partition])
    else partitions.push(partition)
    this.count++
  }

  remove(from: Map<string, Array<number>>, topic: string): number {
    const partitions = from.get(topic)!
    const partition = partitions.pop()!
    if (partitions.length === 0) from.delete(topic)
    this.count--
    return partition
  }
}

type Subscribers = ReadonlyMap<string, ReadonlyArray<Holding>>

/** Which partitions may move: those that are new to their holder, or every one. */
type Movable = "placed" | "all"

/** Gives a partition without an owner to the subscriber with the fewest, and of equal ones to that with fewest of its topic. */
const place = (subscribers: ReadonlyArray<Holding>, topic: string, partition: number): void => {
  let lightest = subscribers[0]!
  for (const holding of subscribers) {
    if (
      holding.count < lightest.count ||
      (holding.count === lightest.count && holding.countOf(topic) < lightest.countOf(topic))
    ) lightest = holding
  }
  lightest.add(lightest.placed, topic, partition)
}

/** Moves one partition, rather one that was placed than one that was kept, of the topic that `giver` has most more of. */
const moveOne = (giver: Holding, taker: Holding): void => {
  for (const from of [giver.placed, giver.kept]) {
    let best: string | undefined
    let bestSurplus = -Infinity
    for (const topic of from.keys()) {
      if (!taker.topics.has(topic)) continue
      const surplus = giver.countOf(topic) - taker.countOf(topic)
      if (surplus > bestSurplus) {
        best = topic
        bestSurplus = surplus
      }
    }
    if (best !== undefined) {
      taker.add(taker.placed, best, giver.remove(from, best))
      return
    }
  }
}

/**
 * Searches, breadth first, for a member that holds at least two partitions less than `heaviest` and can be given one:
 * directly, or by a chain in which each member gives one to the next. `cameFrom` names the giver before each member
 * that was reached.
 */
const findLighter = (
  heaviest: Holding,
  candidates: ReadonlySet<Holding>,
  subscribers: Subscribers,
  movable: Movable
): { readonly lighter: Holding | undefined; readonly cameFrom: ReadonlyMap<Holding, Holding | null> } => {
  const cameFrom = new Map<Holding, Holding | null>([[heaviest, null]])
  const seenTopics = new Set<string>()
  let level = [heaviest]
  while (level.length > 0) {
    const nextLevel: Array<Holding> = []
    let lightest: Holding | undefined
    const reach = (giver: Holding, topic: string) => {
      if (cameFrom.size === candidates.size || seenTopics.has(topic)) return
      seenTopics.add(topic)
      for (const taker of subscribers.get(topic)!) {
        if (!candidates.has(taker) || cameFrom.has(taker)) continue
        cameFrom.set(taker, giver)
        nextLevel.push(taker)
        if (lightest === undefined || taker.count < lightest.count) lightest = taker
      }
    }
    for (const giver of level) {
      for (const topic of giver.placed.keys()) reach(giver, topic)
      if (movable === "all") { for (const topic of giver.kept.keys()) reach(giver, topic) }
    }
    if (lightest !== undefined && lightest.count <= heaviest.count - 2) return { lighter: lightest, cameFrom }
    level = nextLevel
  }
  return { lighter: undefined, cameFrom }
}

/**
 * Evens the members out until no chain of moves helps, which is the best balance that there is (optimal semi-matching:
 * Harvey, Ladner, Lovász, Tamir 2003).
 */
const evenOut = (holdings: Iterable<Holding>, subscribers: Subscribers, movable: Movable): void => {
  const candidates = new Set(holdings)
  while (candidates.size > 0) {
    let heaviest: Holding | undefined
    for (const holding of candidates) {
      if (heaviest === undefined || holding.count > heaviest.count) heaviest = holding
    }
    const { cameFrom, lighter } = findLighter(heaviest!, candidates, subscribers, movable)
    if (lighter === undefined) {
      // What was reached gives only to itself, and the others hold no more than the heaviest: no later move can enter.
      for (const reached of cameFrom.keys()) candidates.delete(reached)
      continue
    }
    for (
      let taker = lighter, giver = cameFrom.get(taker)!;
      giver !== null;
      taker = giver, giver = cameFrom.get(taker)!
    ) {
      moveOne(giver, taker)
    }
  }
}

/**
 * Divides the partitions of `subscribers`' topics as evenly as the subscriptions allow: members with equal
 * subscriptions differ by one at most, and in general no member could hand partitions on, directly or through
 * others, to one that has two less. A partition leaves its owner only where balance asks for it: the partitions without an
 * owner are divided first, as well as they can be with the owned ones in place. It follows that an assignment from
 * which some partitions were left out is completed, the next time, without moving any.
 *
 * @param subscribers the members of each topic, the topics sorted by name
 * @param ownerOf the member that holds a partition now, if any
 */
export const balanceAssignment = (
  subscribers: ReadonlyMap<string, ReadonlyArray<GroupMember>>,
  partitionCounts: ReadonlyMap<string, number>,
  ownerOf: (topicPartition: TopicPartition) => GroupMember | null
): ReadonlyMap<GroupMember, Array<TopicPartition>> => {
  const holdings = new Map<GroupMember, Holding>()
  const holdingsByTopic = new Map<string, Array<Holding>>()
  for (const [topic, members] of subscribers) {
    holdingsByTopic.set(
      topic,
      members.map((member) => {
        let holding = holdings.get(member)
        if (holding === undefined) {
          holding = new Holding(member)
          holdings.set(member, holding)
        }
        holding.topics.add(topic)
        return holding
      })
    )
  }

  const unowned: Array<TopicPartition> = []
  // Topics with few subscribers leave the least choice: they come first.
  const topics = Array.from(subscribers.keys()).sort((left, right) =>
    subscribers.get(left)!.length - subscribers.get(right)!.length
  )
  for (const topic of topics) {
    for (let partition = 0; partition < partitionCounts.get(topic)!; partition++) {
      const topicPartition = { topic, partition }
      const owner = ownerOf(topicPartition)
      const holding = owner === null ? undefined : holdings.get(owner)
      if (holding?.topics.has(topic)) holding.add(holding.kept, topic, partition)
      else unowned.push(topicPartition)
    }
  }
  for (const { partition, topic } of unowned) place(holdingsByTopic.get(topic)!, topic, partition)
  evenOut(holdings.values(), holdingsByTopic, "placed")
  evenOut(holdings.values(), holdingsByTopic, "all")

  const assignment = new Map<GroupMember, Array<TopicPartition>>()
  for (const holding of holdings.values()) {
    const given: Array<TopicPartition> = []
    for (const held of [holding.kept, holding.placed]) {
      for (const [topic, partitions] of held) {
        for (const partition of partitions) given.push({ topic, partition })
      }
    }
    assignment.set(holding.member, given)
  }
  return assignment
}
