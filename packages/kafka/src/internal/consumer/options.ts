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
import { Subscription } from "./subscription.ts"

/** How records are fetched; checked. */
export interface FetchSettings {
  readonly subscription: Subscription
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
/** What an int32 of the protocol can hold: bytes, or milliseconds. */
const maxInt32 = 2 ** 31 - 1

const parseTopics = (owner: string, topics: ReadonlyArray<Topic.AnySource>) =>
  Effect.gen(function*() {
    const check = new Check(owner)
    if (!Array.isArray(topics) || topics.length === 0) return yield* check.fail("topics", "is empty")
    const byName = new Map<string, Topic.Any>()
    const patterns: Array<Topic.TopicPattern<any, any>> = []
    for (const topic of topics as ReadonlyArray<Topic.AnySource>) {
      if ("pattern" in topic) {
        if (!(topic.pattern instanceof RegExp)) return yield* check.fail("topics", "has a pattern that is no RegExp")
        patterns.push(topic)
        continue
      }
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
    return new Subscription(byName, patterns)
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
      subscription: yield* parseTopics(owner, options.topics),
      readCommitted: isolation === "read_committed",
      // Without a wait, or with nothing to wait for, an idle consumer would ask without a pause.
      maxWait: yield* millis(check, "fetch.maxWait", fetch.maxWait, "500 millis", 1),
      minBytes: yield* check.integer("fetch.minBytes", fetch.minBytes, 1, { min: 1, max: maxInt32 }),
      partitionBytes: yield* check.integer("fetch.partitionBytes", fetch.partitionBytes, mib, {
        min: 1,
        max: maxInt32
      }),
      bufferBytes: yield* check.integer("fetch.bufferBytes", fetch.bufferBytes, 64 * mib, { min: 1, max: maxInt32 }),
      reset
    }
  })

/** A duration in whole milliseconds, as the protocol has it. */
const millis = (
  check: Check,
  option: string,
  input: Duration.DurationInput | undefined,
  fallback: Duration.DurationInput,
  min = 0
): Effect.Effect<Duration.Duration, FatalError> =>
  Effect.flatMap(check.duration(option, input, fallback, { min }), (duration) => {
    const millis = Math.round(Duration.toMillis(duration))
    return millis <= maxInt32
      ? Effect.succeed(Duration.millis(millis))
      : check.fail(option, `must be at most ${maxInt32} milliseconds, got ${Duration.format(duration)}`)
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
    const sessionTimeout = yield* millis(check, "sessionTimeout", options.sessionTimeout, "45 seconds", 1)
    const heartbeatInterval = yield* millis(check, "heartbeatInterval", options.heartbeatInterval, "3 seconds", 1)
    if (Duration.greaterThanOrEqualTo(heartbeatInterval, sessionTimeout)) {
      return yield* check.fail("heartbeatInterval", "must be less than sessionTimeout; a third of it or less is usual")
    }
    return [{
      groupId: options.groupId,
      assignor: assignor === "range" ? rangeAssignor : cooperativeStickyAssignor,
      sessionTimeout,
      heartbeatInterval,
      rebalanceTimeout: yield* millis(check, "rebalanceTimeout", options.rebalanceTimeout, "1 minute", 1),
      commitInterval: yield* millis(check, "commitInterval", options.commitInterval, "1 second"),
      drainTimeout: yield* millis(check, "drainTimeout", options.drainTimeout, "20 seconds"),
      closeTimeout: yield* millis(check, "closeTimeout", options.closeTimeout, "10 seconds")
    }, fetch] as const
  })

/** Checks the options of a consumer without a group. */
export const parseAssign = (options: AssignOptions<any>): Effect.Effect<FetchSettings, FatalError> =>
  Effect.gen(function*() {
    const check = new Check("Consumer.assign")
    const from = yield* check.oneOf("from", options.from, "earliest", ["earliest", "latest"])
    const { partitions } = options
    if (partitions !== undefined) {
      if (!Array.isArray(partitions) || partitions.length === 0) return yield* check.fail("partitions", "is empty")
      for (const partition of partitions) {
        yield* check.integer("partitions", partition, -1, { min: 0, max: maxInt32 })
      }
      if (new Set(partitions).size < partitions.length) return yield* check.fail("partitions", "names one twice")
    }
    const fetch = yield* parseFetch("Consumer.assign", options, from)
    if (fetch.subscription.hasPatterns) return yield* check.fail("topics", "has a pattern: name the topics")
    return fetch
  })
