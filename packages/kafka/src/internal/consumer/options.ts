import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

import type { AssignOptions, ConsumerOptions } from "../../Consumer.ts"
import { FatalError } from "../../KafkaError.ts"
import type * as Topic from "../../Topic.ts"
import { Check } from "../cluster/settings.ts"
import type { Assignor } from "../kernel/assignor.ts"
import { cooperativeStickyAssignor } from "../kernel/assignorCooperativeSticky.ts"
import { rangeAssignor } from "../kernel/assignorRange.ts"
import { validateTopicName } from "../kernel/topicName.ts"

/** How records are fetched; checked. */
export interface FetchSettings {
  readonly topics: ReadonlyMap<string, Topic.Any>
  readonly readCommitted: boolean
  readonly maxWait: Duration.Duration
  readonly minBytes: number
  readonly partitionBytes: number
  readonly bufferBytes: number
  readonly reset: "earliest" | "latest" | "fail"
}

/** A group member's options, checked, with their defaults. */
export interface GroupSettings {
  readonly groupId: string
  readonly assignor: Assignor
  readonly sessionTimeout: Duration.Duration
  readonly heartbeatInterval: Duration.Duration
  readonly rebalanceTimeout: Duration.Duration
  readonly commitInterval: Duration.Duration
  readonly drainTimeout: Duration.Duration
  readonly closeTimeout: Duration.Duration
}

const mib = 1024 * 1024

const parseTopics = (owner: string, topics: ReadonlyArray<Topic.Any>) =>
  Effect.gen(function*() {
    const check = new Check(owner)
    if (!Array.isArray(topics) || topics.length === 0) return yield* check.fail("topics", "is empty")
    const byName = new Map<string, Topic.Any>()
    for (const topic of topics) {
      const problem = validateTopicName(topic.name)
      if (problem !== undefined) {
        return yield* Effect.fail(
          new FatalError({
            reason: { _tag: "InvalidTopicException", topic: topic.name },
            scope: "topic",
            message: `${owner}: ${problem}`
          })
        )
      }
      if (byName.has(topic.name)) return yield* check.fail("topics", `names "${topic.name}" twice`)
      byName.set(topic.name, topic)
    }
    return byName
  })

const parseFetch = (
  owner: string,
  options: Pick<ConsumerOptions<any>, "topics" | "fetch" | "isolation">,
  reset: FetchSettings["reset"]
): Effect.Effect<FetchSettings, FatalError> =>
  Effect.gen(function*() {
    const check = new Check(owner)
    const fetch = options.fetch ?? {}
    const isolation = yield* check.oneOf("isolation", options.isolation, "read_committed", [
      "read_committed",
      "read_uncommitted"
    ])
    return {
      topics: yield* parseTopics(owner, options.topics),
      readCommitted: isolation === "read_committed",
      maxWait: yield* check.duration("fetch.maxWait", fetch.maxWait, "500 millis"),
      minBytes: yield* check.integer("fetch.minBytes", fetch.minBytes, 1, { min: 0, max: 2 ** 31 - 1 }),
      partitionBytes: yield* check.integer("fetch.partitionBytes", fetch.partitionBytes, mib, {
        min: 1,
        max: 2 ** 31 - 1
      }),
      bufferBytes: yield* check.integer("fetch.bufferBytes", fetch.bufferBytes, 64 * mib, { min: 1, max: 2 ** 31 - 1 }),
      reset
    }
  })

/** Checks a group member's options; nothing is sent before. */
export const parseGroup = (
  options: ConsumerOptions<any>
): Effect.Effect<readonly [GroupSettings, FetchSettings], FatalError> =>
  Effect.gen(function*() {
    const check = new Check("Consumer")
    if (typeof options.groupId !== "string" || options.groupId === "") {
      return yield* check.fail("groupId", "is empty")
    }
    const reset = yield* check.oneOf("reset", options.reset, "earliest", ["earliest", "latest", "fail"])
    const fetch = yield* parseFetch("Consumer", options, reset)
    const assignor = yield* check.oneOf("assignor", options.assignor, "cooperative-sticky", [
      "cooperative-sticky",
      "range"
    ])
    const sessionTimeout = yield* check.duration("sessionTimeout", options.sessionTimeout, "45 seconds", { min: 1 })
    const heartbeatInterval = yield* check.duration("heartbeatInterval", options.heartbeatInterval, "3 seconds", {
      min: 1
    })
    if (Duration.greaterThanOrEqualTo(heartbeatInterval, sessionTimeout)) {
      return yield* check.fail("heartbeatInterval", "must be less than sessionTimeout; a third of it or less is usual")
    }
    return [{
      groupId: options.groupId,
      assignor: assignor === "range" ? rangeAssignor : cooperativeStickyAssignor,
      sessionTimeout,
      heartbeatInterval,
      rebalanceTimeout: yield* check.duration("rebalanceTimeout", options.rebalanceTimeout, "1 minute", { min: 1 }),
      commitInterval: yield* check.duration("commitInterval", options.commitInterval, "1 second"),
      drainTimeout: yield* check.duration("drainTimeout", options.drainTimeout, "20 seconds"),
      closeTimeout: yield* check.duration("closeTimeout", options.closeTimeout, "10 seconds")
    }, fetch] as const
  })

/** Checks the options of a consumer without a group. */
export const parseAssign = (options: AssignOptions<any>): Effect.Effect<FetchSettings, FatalError> =>
  Effect.gen(function*() {
    const check = new Check("Consumer.assign")
    const from = yield* check.oneOf("from", options.from, "earliest", ["earliest", "latest"])
    for (const partition of options.partitions ?? []) {
      yield* check.integer("partitions", partition, 0, { min: 0, max: 2 ** 31 - 1 })
    }
    return yield* parseFetch("Consumer.assign", options, from)
  })
