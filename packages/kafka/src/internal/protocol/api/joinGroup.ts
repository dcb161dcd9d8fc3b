import { api, arrayOf, bool, bytes, int16, int32, string } from "../field.ts"
import { throttleTimeMs } from "./common.ts"

/** Joins a group of the classic protocol. */
export const JoinGroup = api({
  key: 11,
  name: "JoinGroup",
  versions: [6, 9],
  flexible: 6,
  request: {
    groupId: string,
    sessionTimeoutMs: int32,
    rebalanceTimeoutMs: int32.default(-1),
    memberId: string,
    groupInstanceId: string.nullable().default(null),
    protocolType: string,
    protocols: arrayOf({ name: string, metadata: bytes }),
    reason: string.nullable().since(8).default(null).ignorable
  },
  response: {
    throttleTimeMs,
    errorCode: int16,
    generationId: int32.default(-1),
    protocolType: string.nullable().since(7).default(null).ignorable,
    protocolName: string.nullable(7),
    leader: string,
    skipAssignment: bool.since(9).default(false),
    memberId: string,
    members: arrayOf({
      memberId: string,
      groupInstanceId: string.nullable().default(null),
      metadata: bytes
    })
  }
})
