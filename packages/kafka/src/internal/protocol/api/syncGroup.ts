import { api, arrayOf, bytes, int16, int32, string } from "../field.ts"
import { throttleTimeMs } from "./common.ts"

/** Hands the leader's assignments to a group of the classic protocol, and gets one's own. */
export const SyncGroup = api({
  key: 14,
  name: "SyncGroup",
  versions: [4, 5],
  flexible: 4,
  request: {
    groupId: string,
    generationId: int32,
    memberId: string,
    groupInstanceId: string.nullable().default(null),
    protocolType: string.nullable().since(5).default(null).ignorable,
    protocolName: string.nullable().since(5).default(null).ignorable,
    assignments: arrayOf({ memberId: string, assignment: bytes })
  },
  response: {
    throttleTimeMs,
    errorCode: int16,
    protocolType: string.nullable().since(5).default(null).ignorable,
    protocolName: string.nullable().since(5).default(null).ignorable,
    assignment: bytes
  }
})
