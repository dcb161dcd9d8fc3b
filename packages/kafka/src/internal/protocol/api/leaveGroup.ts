import { api, arrayOf, int16, string } from "../field.ts"
import { throttleTimeMs } from "./common.ts"

/** Takes members out of a group of the classic protocol. */
export const LeaveGroup = api({
  key: 13,
  name: "LeaveGroup",
  versions: [4, 5],
  flexible: 4,
  request: {
    groupId: string,
    members: arrayOf({
      memberId: string,
      groupInstanceId: string.nullable().default(null),
      reason: string.nullable().since(5).default(null).ignorable
    })
  },
  response: {
    throttleTimeMs,
    errorCode: int16,
    members: arrayOf({
      memberId: string,
      groupInstanceId: string.nullable(),
      errorCode: int16
    })
  }
})
