import { api, array, arrayOf, bool, bytes, int16, int32, string } from "../field.ts"
import { throttleTimeMs } from "./common.ts"

/** What groups are doing, and what their members were given. */
export const DescribeGroups = api({
  key: 15,
  name: "DescribeGroups",
  versions: [5, 5],
  flexible: 5,
  request: {
    groups: array(string),
    includeAuthorizedOperations: bool.default(false)
  },
  response: {
    throttleTimeMs,
    groups: arrayOf({
      errorCode: int16,
      groupId: string,
      groupState: string,
      protocolType: string,
      protocolData: string,
      members: arrayOf({
        memberId: string,
        groupInstanceId: string.nullable().default(null),
        clientId: string,
        clientHost: string,
        memberMetadata: bytes,
        memberAssignment: bytes
      }),
      authorizedOperations: int32.default(-2147483648)
    })
  }
})
