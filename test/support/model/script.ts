/**
 * Scripts of raw requests, run side by side on the model and on a broker: after each step both must have answered the
 * same requests, with the same answers.
 */
import { inspect } from "node:util"

import { DeleteTopics } from "@sluice/kafka/internal/protocol/api/deleteTopics"
import { Fetch } from "@sluice/kafka/internal/protocol/api/fetch"
import { Heartbeat } from "@sluice/kafka/internal/protocol/api/heartbeat"
import { JoinGroup } from "@sluice/kafka/internal/protocol/api/joinGroup"
import { ListOffsets } from "@sluice/kafka/internal/protocol/api/listOffsets"
import { Metadata } from "@sluice/kafka/internal/protocol/api/metadata"
import { OffsetFetch } from "@sluice/kafka/internal/protocol/api/offsetFetch"
import type { AnyApi, RequestInput, ResponseOf } from "@sluice/kafka/internal/protocol/field"
import type { TransportError } from "@sluice/kafka/Transport"
import { Effect } from "effect"

import { type Answer, comparableAnswer, describeRecords, differences } from "./answers.ts"
import { groupSlots, type Names, nobody } from "./names.ts"
import type { Sent, Side } from "./side.ts"

/** One request, which both sides get. */
export interface Step {
  readonly connection: number
  readonly api: AnyApi
  readonly version: number
  /** What is asked, in a side's own names. */
  readonly body: (names: Names) => unknown
  /** The member or producer of the script that asks. */
  readonly slot?: string | undefined
  /** Both answer by themselves, after a while perhaps: wait for it. Else it may park. */
  readonly awaits: boolean
  readonly expectsResponse: boolean
  /** The writer of the script learns from the model's answer, which the broker's was the same as. */
  readonly observe?: ((answer: Answer) => void) | undefined
}

/** Makes a step, with the request typed by its API. */
export const step = <A extends AnyApi>(
  connection: number,
  api: A,
  version: number,
  body: (names: Names) => RequestInput<A>,
  options: {
    readonly slot?: string
    readonly awaits?: boolean
    readonly expectsResponse?: boolean
    readonly observe?: (answer: Answer, body: ResponseOf<A> | undefined) => void
  } = {}
): Step => {
  const { observe } = options
  return {
    connection,
    api,
    version,
    body,
    slot: options.slot,
    awaits: options.awaits ?? false,
    expectsResponse: options.expectsResponse ?? true,
    observe: observe === undefined
      ? undefined
      : (answer) => observe(answer, answer._tag === "Response" ? answer.body as ResponseOf<A> : undefined)
  }
}

/** The step, or `undefined` at the script's end. `isFree` says on which connections nothing is parked. */
export type Writer = (isFree: (connection: number) => boolean) => Step | undefined

/** What one run has shown. */
export interface Run {
  /** Those that were run, the last one being where they differ. */
  readonly steps: ReadonlyArray<Step>
  readonly transcript: ReadonlyArray<string>
  /** Empty if all was alike. */
  readonly differences: ReadonlyArray<string>
  readonly answers: number
  /** Most requests that were parked at a time. */
  readonly mostParked: number
  /** Whether it ended early, where Kafka's own choice cannot be foretold. */
  readonly isCutShort: boolean
}

/** A step that was sent to both. */
interface Outstanding {
  readonly number: number
  readonly step: Step
  readonly model: Sent
  readonly broker: Sent
}

const patience = "10 seconds"
/** How long a broker has to answer what the model leaves parked. Where it takes longer, a later step sees it. */
const parkedWait = "4 millis"
const barrierConnection = 99

/** Steps that were written before. Those whose connection is not free are left out. */
export const replay = (steps: ReadonlyArray<Step>): Writer => {
  let next = 0
  return (isFree) => {
    while (next < steps.length && !isFree(steps[next]!.connection)) next++
    return steps[next++]
  }
}

const isGroupApi = (api: AnyApi): boolean => api.name === "JoinGroup" || api.name === "SyncGroup"

const describe = (value: unknown, names: Names): string =>
  inspect(
    readable(value, names),
    { depth: null, breakLength: 140, compact: 10 }
  )

const readable = (value: unknown, names: Names): unknown => {
  if (value instanceof Uint8Array) return describeBytes(value, names)
  if (Array.isArray(value)) return value.map((element) => readable(element, names))
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, readable(field, names)]))
}

const describeBytes = (bytes: Uint8Array, names: Names): unknown =>
  bytes.length >= 61 ? describeRecords(bytes, names) : Buffer.from(bytes).toString("latin1")

const indented = (text: string): string => text.replaceAll("\n", "\n      ")

/** Runs a script on both sides, step by step, until they differ. */
export const runScript = (model: Side, broker: Side, write: Writer): Effect.Effect<Run, TransportError> =>
  Effect.gen(function*() {
    const steps: Array<Step> = []
    const transcript: Array<string> = []
    let outstanding: ReadonlyArray<Outstanding> = []
    let answers = 0
    let mostParked = 0
    const leaders = new Map<string, string>()
    const end = (found: ReadonlyArray<string>, isCutShort = false): Run => ({
      steps,
      transcript,
      differences: found,
      answers,
      mostParked,
      isCutShort
    })
    const isFree = (connection: number) => !outstanding.some((sent) => sent.step.connection === connection)

    for (let next = write(isFree); next !== undefined; next = write(isFree)) {
      const number = steps.push(next)
      const { api, connection, expectsResponse, version } = next
      const body = next.body(model.names)
      transcript.push(
        `${String(number).padStart(3)}. connection ${connection}: ${api.name} v${version} ` +
          indented(describe(body, model.names))
      )
      outstanding = [...outstanding, {
        number,
        step: next,
        model: yield* model.send(connection, api, version, body, expectsResponse),
        broker: yield* broker.send(connection, api, version, next.body(broker.names), expectsResponse)
      }]
      if (next.awaits) yield* outstanding[outstanding.length - 1]!.model.answered
      yield* settleModel(model)

      const answered = outstanding.filter((sent) => sent.model.answer !== undefined)
      const parked = outstanding.filter((sent) => sent.model.answer === undefined)
      mostParked = Math.max(mostParked, parked.length)
      for (const sent of answered) {
        const given = yield* Effect.timeoutOption(sent.broker.answered, patience)
        if (given._tag === "None") {
          transcript.push(`      model:  ${describe(comparableAnswer(sent.model.answer!, model.names), model.names)}`)
          return end([`step ${sent.number}, ${sent.step.api.name}: the model has answered, and the broker has not`])
        }
      }
      if (parked.length > 0) yield* barrier(broker, parked)
      const tooEarly = parked.find((sent) => sent.broker.answer !== undefined)
      if (tooEarly !== undefined) {
        transcript.push(
          `      broker: ${describe(comparableAnswer(tooEarly.broker.answer!, broker.names), broker.names)}`
        )
        return end([
          `step ${tooEarly.number}, ${tooEarly.step.api.name}: the broker has answered, and the model has not`
        ])
      }

      for (const { step, ...sent } of answered) {
        learn(model, step, sent.model.answer!)
        learn(broker, step, sent.broker.answer!)
      }
      const newLeaders = new Map(leaders)
      for (const sent of answered) {
        answers++
        const own = comparableAnswer(sent.model.answer!, model.names)
        const others = comparableAnswer(sent.broker.answer!, broker.names)
        const found = differences(own, others)
        if (found.length === 0) {
          const of = sent.number === number ? "" : ` to step ${sent.number}`
          transcript.push(`      answer${of}: ${indented(describe(own, model.names))}`)
        } else {
          transcript.push(
            `      to step ${sent.number}, ${sent.step.api.name} v${sent.step.version}:`,
            `      model:  ${indented(describe(own, model.names))}`,
            `      broker: ${indented(describe(others, broker.names))}`
          )
          if (sent.step.api === JoinGroup && isOpenChoice(own, others, leaders.get(groupOf(sent.step, model.names)))) {
            return end([], true)
          }
          if (isAnsweredInBetween(sent, number, next)) return end([], true)
          return end(found.map((difference) => `step ${sent.number}, ${sent.step.api.name}: ${difference}`))
        }
        if (sent.step.api === JoinGroup && (own as JoinAnswer).errorCode === "None") {
          newLeaders.set(groupOf(sent.step, model.names), (own as JoinAnswer).leader)
        }
      }
      for (const [group, leader] of newLeaders) leaders.set(group, leader)
      outstanding = parked
      for (const sent of answered) sent.step.observe?.(sent.model.answer!)
      const changesTopics = answered.some((sent) => topicChanges.has(sent.step.api.name))
      if (changesTopics) {
        const found = yield* agreeOnTopics(model, broker)
        if (found.length > 0) return end(found.map((difference) => `after step ${number}, the topics: ${difference}`))
      }
    }
    return end([])
  })

/** What has been answered when this has been done is all that is answered without something else happening. */
const settleModel = (model: Side): Effect.Effect<void, TransportError> =>
  Effect.zipRight(
    model.ping(barrierConnection),
    Effect.async<void>((resume) => {
      setImmediate(() => resume(Effect.void))
    })
  )

/** Requests that a broker serves after those that are parked, so that it has seen them; and a little time. */
const barrier = (broker: Side, parked: ReadonlyArray<Outstanding>): Effect.Effect<void, TransportError> =>
  Effect.gen(function*() {
    const newest = parked[parked.length - 1]!
    yield* Effect.sleep(parkedWait)
    if (isGroupApi(newest.step.api)) {
      // Its coordinator does one thing of a group after the other.
      const { groupId } = newest.step.body(broker.names) as { readonly groupId: string }
      yield* broker.ask(barrierConnection, Heartbeat, 4, { groupId, generationId: 0, memberId: nobody })
    } else {
      yield* broker.ping(barrierConnection)
    }
  })

const learn = (side: Side, { api, slot }: Step, answer: Answer): void => {
  if (answer._tag === "Response") side.names.learn(api, slot, answer.body)
}

interface JoinAnswer {
  readonly errorCode: string
  readonly leader: string
}

const groupOf = (step: Step, names: Names): string => (step.body(names) as { readonly groupId: string }).groupId

/** When a leader is gone, Kafka takes the next from a hash table of random ids: nobody knows whom. */
const isOpenChoice = (own: unknown, others: unknown, before: string | undefined): boolean => {
  const [model, broker] = [own as JoinAnswer, others as JoinAnswer]
  return model.errorCode === "None" && broker.errorCode === "None" && model.leader !== broker.leader &&
    before !== undefined && model.leader !== before && broker.leader !== before
}

/**
 * Whether an answer may differ for once: a broker deletes a topic's partitions one after the other, and a fetch that waits
 * for several of them is answered in between.
 */
const isAnsweredInBetween = (sent: Outstanding, number: number, next: Step): boolean =>
  sent.step.api === Fetch && sent.number !== number && next.api === DeleteTopics

const topicChanges: ReadonlySet<string> = new Set(["CreateTopics", "DeleteTopics", "CreatePartitions"])

/**
 * Brokers learn of new and deleted topics a little after the answer, and forget the offsets of deleted ones after that: waits
 * until this one sees what the model has.
 */
const agreeOnTopics = (model: Side, broker: Side): Effect.Effect<ReadonlyArray<string>, TransportError> =>
  Effect.gen(function*() {
    const request = { topics: null, allowAutoTopicCreation: false }
    const wanted = yield* model.ask(barrierConnection, Metadata, 12, request)
    model.names.learn(Metadata, undefined, wanted)
    const expected = comparableAnswer({ _tag: "Response", body: wanted }, model.names)
    const partitions = wanted.topics.filter((topic) => model.names.isOwn(topic.name)).map((topic) => ({
      name: topic.name!,
      partitions: topic.partitions.map(({ partitionIndex }) => ({ partitionIndex, timestamp: -1 }))
    }))
    const offsetsOfGroups = (side: Side) =>
      Effect.map(
        side.ask(barrierConnection, OffsetFetch, 8, {
          groups: groupSlots.map((slot) => ({ groupId: side.names.of(slot), topics: null }))
        }),
        (body) => comparableAnswer({ _tag: "Response", body }, side.names)
      )
    const expectedOffsets = yield* offsetsOfGroups(model)
    let found: ReadonlyArray<string> = []
    for (let attempt = 0; attempt < 100; attempt++) {
      const seen = yield* broker.ask(barrierConnection, Metadata, 12, request)
      broker.names.learn(Metadata, undefined, seen)
      found = [
        ...differences(expected, comparableAnswer({ _tag: "Response", body: seen }, broker.names)),
        ...differences(expectedOffsets, yield* offsetsOfGroups(broker))
      ]
      const offsets = yield* broker.ask(barrierConnection, ListOffsets, 7, {
        replicaId: -1,
        isolationLevel: 0,
        topics: partitions
      })
      const isLed = offsets.topics.every((topic) => topic.partitions.every(({ errorCode }) => errorCode === 0))
      if (found.length === 0 && isLed) return found
      yield* Effect.sleep("10 millis")
    }
    return found.length > 0 ? found : ["not all partitions are led"]
  })
