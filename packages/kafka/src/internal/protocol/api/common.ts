import { arrayOf, int32, string } from "../field.ts"

/** How long the broker held the response back, or asks the client to hold back (KIP-219), in milliseconds. */
export const throttleTimeMs = int32.default(0).ignorable

/** The leader of a partition, and since which of its elections. */
export const leaderIdAndEpoch = {
  leaderId: int32.default(-1),
  leaderEpoch: int32.default(-1)
}

/** Where the leaders named in a response are (KIP-951). */
export const nodeEndpoints = arrayOf({
  nodeId: int32,
  host: string,
  port: int32,
  rack: string.nullable().default(null)
}).tagged(0)
