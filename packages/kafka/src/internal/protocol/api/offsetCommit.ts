import { api, arrayOf, int16, int32, int64, string } from "../field.ts"
import { throttleTimeMs } from "./common.ts"

/** Stores a group's offsets. Version 10 names topics by id and is left out. */
export const OffsetCommit = api({
  key: 8,
  name: "OffsetCommit",
  versions: [8, 9],
  flexible: 8,
  request: {
    groupId: string,
    generationIdOrMemberEpoch: int32.default(-1),
    memberId: string,
    groupInstanceId: string.nullable().default(null),
    topics: arrayOf({
      name: string,
      partitions: arrayOf({
        partitionIndex: int32,
        committedOffset: int64,
        committedLeaderEpoch: int32.default(-1),
        committedMetadata: string.nullable()
      })
    })
  },
  response: {
    throttleTimeMs,
    topics: arrayOf({
      name: string,
      partitions: arrayOf({ partitionIndex: int32, errorCode: int16 })
    })
  }
})
