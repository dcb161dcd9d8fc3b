/** Answers as they are compared: what must differ from cluster to cluster is replaced or left out. */
import { batchHeaderSize, batchLengthEnd, readBatchHeader } from "@sluice/kafka/internal/kernel/batchHeader"
import { readInt32 } from "@sluice/kafka/internal/kernel/bigEndian"
import { errors } from "@sluice/kafka/internal/kernel/errors"

import type { Names } from "./names.ts"

/** What became of a request, in the end. */
export type Answer =
  | { readonly _tag: "Response"; readonly body: unknown }
  /** Served, as far as one can tell, and nothing was to come back. */
  | { readonly _tag: "NoResponse" }
  /** The broker closed the connection. */
  | { readonly _tag: "Closed" }

const errorNames = new Map<number, string>([[0, "None"], ...errors.map((entry) => [entry.code, entry.tag] as const)])

/** Texts and times of the broker's own, what it is called and where it is, and the settings that a new topic has. */
const leftOut: ReadonlySet<string> = new Set([
  "throttleTimeMs",
  "errorMessage",
  "batchIndexErrorMessage",
  "clusterId",
  "configs"
])

/** One line a batch. Checksums are left out, since they cover the producer's id. */
export const describeRecords = (bytes: Uint8Array, names: Names): ReadonlyArray<string> => {
  const lines: Array<string> = []
  let position = 0
  while (bytes.length - position >= batchHeaderSize) {
    const size = batchLengthEnd + readInt32(bytes, position + 8)
    if (size < batchHeaderSize || size > bytes.length - position) break
    const header = readBatchHeader(bytes, position)
    lines.push(
      `${header.recordCount} records at ${header.baseOffset} to ${header.lastOffset}, ${size} bytes, ` +
        `leader epoch ${header.partitionLeaderEpoch}, attributes ${header.attributes}, ` +
        `times ${header.baseTimestamp} to ${header.maxTimestamp}, ` +
        `producer ${names.label(header.producerId)}, epoch ${header.producerEpoch}, sequence ${header.baseSequence}, ` +
        Buffer.from(bytes.subarray(position + batchHeaderSize, position + size)).toString("latin1").replace(
          /[^\x20-\x7e]+/g,
          "~"
        ).slice(0, 40)
    )
    position += size
  }
  if (position < bytes.length) lines.push(`${bytes.length - position} bytes of another batch`)
  return lines
}

/** Where the protocol leaves the order open: by name or number. */
const sortKey = (element: any): string | undefined => {
  if (typeof element !== "object" || element === null) return undefined
  if (typeof element.metadata === "string" && "groupInstanceId" in element) {
    return `${element.groupInstanceId} ${element.metadata}`
  }
  if ("records" in element) return `${element.topic} ${element.topicId} ${element.partitionIndex}`
  const key = element.partitionIndex ?? element.index
  if (key !== undefined) return String(key).padStart(6)
  // A topic may be there by its name, and by its id.
  return "name" in element || "topicId" in element ? `${element.name} ${element.topicId}` : undefined
}

const sorted = (elements: ReadonlyArray<unknown>): ReadonlyArray<unknown> =>
  elements.some((element) => sortKey(element) === undefined) ? elements : elements.toSorted((one, other) => {
    const [left, right] = [sortKey(one)!, sortKey(other)!]
    return left < right ? -1 : left > right ? 1 : 0
  })

const comparableField = (key: string, value: unknown, names: Names): unknown => {
  switch (key) {
    case "errorCode":
      return errorNames.get(value as number) ?? value
    case "host":
      return value === "" ? value : "a host"
    case "port":
      return value === -1 ? value : "a port"
    case "memberId":
    case "leader":
    case "topicId":
    case "producerId":
      return names.label(value as string | number)
    case "records":
      return value === null ? null : describeRecords(value as Uint8Array, names)
    case "responses":
      return comparable(
        (value as ReadonlyArray<any>).some((topic) => "partitions" in topic) ? flat(value) : value,
        names
      )
    case "topics":
      return comparable(Array.isArray(value) ? value.filter((topic) => !isOthers(topic, names)) : value, names)
    default:
      return comparable(value, names)
  }
}

/** Fetch says some topics twice, and those that it does not find last: the partitions, whatever is around them. */
const flat = (topics: any): ReadonlyArray<unknown> =>
  topics.flatMap(({ partitions, topic, topicId }: any) =>
    partitions.map((partition: object) => ({ topic, topicId, ...partition }))
  )

/** A broker that serves other tests has their topics too, and a model its own of offsets. */
const isOthers = (topic: any, names: Names): boolean =>
  "isInternal" in topic && topic.errorCode === 0 && !names.isOwn(topic.name)

const comparable = (value: unknown, names: Names): unknown => {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("latin1")
  if (Array.isArray(value)) return sorted(value.map((element) => comparable(element, names)))
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, field]) => leftOut.has(key) ? [] : [[key, comparableField(key, field, names)]])
  )
}

/** An answer without what may differ. */
export const comparableAnswer = (answer: Answer, names: Names): unknown =>
  answer._tag === "Response" ? comparable(answer.body, names) : answer._tag

/** Where two answers differ, one line each. */
export const differences = (model: unknown, broker: unknown, path = ""): ReadonlyArray<string> => {
  if (Object.is(model, broker)) return []
  const areObjects = [model, broker].every((value) => typeof value === "object" && value !== null)
  if (!areObjects || Array.isArray(model) !== Array.isArray(broker)) {
    return [`${path === "" ? "the answer" : path}: model ${inWords(model)}, broker ${inWords(broker)}`]
  }
  const [one, other] = [model, broker] as [Record<string, unknown>, Record<string, unknown>]
  return Array.from(new Set([...Object.keys(one), ...Object.keys(other)])).flatMap((key) =>
    differences(one[key], other[key], path === "" ? key : `${path}.${key}`)
  )
}

const inWords = (value: unknown): string => value === undefined ? "nothing" : JSON.stringify(value)
