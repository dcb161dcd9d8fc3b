import { api, array, arrayOf, bool, int16, int32, int64, string } from "../field.ts"
import { throttleTimeMs } from "./common.ts"

const requestedTopics = arrayOf({ name: string, partitionIndexes: array(int32) })

const committedTopics = arrayOf({
  name: string,
  partitions: arrayOf({
    partitionIndex: int32,
    committedOffset: int64,
    committedLeaderEpoch: int32.default(-1),
    metadata: string.nullable(),
    errorCode: int16
  })
})

/**
 * The offsets that groups have stored: one group up to version 7, many from 8. Null topics ask for all of a group.
 * Version 10 names topics by id and is left out.
 */
export const OffsetFetch = api({
  key: 9,
  name: "OffsetFetch",
  versions: [6, 9],
  flexible: 6,
  request: {
    groupId: string.until(7),
    topics: requestedTopics.until(7).nullable(2, 7),
    groups: arrayOf({
      groupId: string,
      memberId: string.nullable().since(9).default(null).ignorable,
      memberEpoch: int32.since(9).default(-1).ignorable,
      topics: requestedTopics.nullable()
    }).since(8),
    requireStable: bool.since(7).default(false)
  },
  response: {
    throttleTimeMs,
    topics: committedTopics.until(7),
    errorCode: int16.until(7).default(0).ignorable,
    groups: arrayOf({
      groupId: string,
      topics: committedTopics,
      errorCode: int16.default(0)
    }).since(8)
  }
})
