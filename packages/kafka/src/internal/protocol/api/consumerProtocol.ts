import { concat, decodePrefix, encodeMessage, ProtocolError } from "../codec.ts"
import type { AnyMessage, MessageInput, MessageOf } from "../field.ts"
import { array, arrayOf, bytes, int32, message, string } from "../field.ts"

const topicPartitions = arrayOf({ topic: string, partitions: array(int32) })

/** What a consumer tells its group's leader, in the metadata of JoinGroup. */
export const ConsumerProtocolSubscription = message({
  name: "ConsumerProtocolSubscription",
  versions: [0, 3],
  flexible: Infinity,
  fields: {
    topics: array(string),
    userData: bytes.nullable().default(null),
    ownedPartitions: topicPartitions.since(1).default([]).ignorable,
    generationId: int32.since(2).default(-1).ignorable,
    rackId: string.nullable().since(3).default(null).ignorable
  }
})

/** What the leader assigns to a consumer, in the assignment of SyncGroup. */
export const ConsumerProtocolAssignment = message({
  name: "ConsumerProtocolAssignment",
  versions: [0, 3],
  flexible: Infinity,
  fields: {
    assignedPartitions: topicPartitions,
    userData: bytes.nullable().default(null)
  }
})

/** What a member of Java's sticky assignor was given last, in the user data of its subscription; version 0 has no generation. */
export const StickyAssignorUserData = message({
  name: "StickyAssignorUserData",
  versions: [0, 1],
  flexible: Infinity,
  fields: {
    previousAssignment: topicPartitions,
    generation: int32.since(1).default(-1).ignorable
  }
})

/** What a member of Java's cooperative-sticky assignor says in the user data of its subscription. */
export const CooperativeStickyAssignorUserData = message({
  name: "CooperativeStickyAssignorUserData",
  versions: [0, 0],
  flexible: Infinity,
  fields: { generation: int32 }
})

/** Encodes a message of the consumer protocol after its version, an int16. */
export const encodeVersioned = <M extends AnyMessage>(
  message: M,
  version: number,
  value: MessageInput<M>
): Uint8Array => concat([Uint8Array.of(version >> 8, version), encodeMessage(message, version, value)])

/**
 * Decodes a message of the consumer protocol and the version before it. Other clients of the group may be newer: as Java
 * does, a version that is not known is read as the last that is, and bytes after the known fields are ignored. Throws
 * {@link ProtocolError} on anything shorter.
 */
export const decodeVersioned = <M extends AnyMessage>(
  message: M,
  bytes: Uint8Array
): { readonly version: number; readonly value: MessageOf<M> } => {
  const version = bytes.length < 2 ? -1 : bytes[0]! << 24 >> 16 | bytes[1]!
  if (version < 0) throw new ProtocolError("no version", message.name, version, 0)
  return { version, value: decodePrefix(message, Math.min(version, message.versions[1]), bytes.subarray(2)) }
}

/** As Java reads it: with a generation, else without. Throws {@link ProtocolError} on anything else. */
export const decodeStickyUserData = (bytes: Uint8Array): MessageOf<typeof StickyAssignorUserData> => {
  try {
    return decodePrefix(StickyAssignorUserData, 1, bytes)
  } catch {
    return decodePrefix(StickyAssignorUserData, 0, bytes)
  }
}
