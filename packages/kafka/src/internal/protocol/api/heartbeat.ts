import { api, int16, int32, string } from "../field.ts"
import { throttleTimeMs } from "./common.ts"

/** Keeps a member of a classic group alive, and tells it of rebalances. */
export const Heartbeat = api({
  key: 12,
  name: "Heartbeat",
  versions: [4, 4],
  flexible: 4,
  request: {
    groupId: string,
    generationId: int32,
    memberId: string,
    groupInstanceId: string.nullable().default(null)
  },
  response: {
    throttleTimeMs,
    errorCode: int16
  }
})
