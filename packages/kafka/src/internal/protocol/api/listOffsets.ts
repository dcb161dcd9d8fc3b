import { api, arrayOf, int8, int16, int32, int64, string } from "../field.ts"
import { throttleTimeMs } from "./common.ts"

/** The offset of a point in time, or of an end of the log: timestamp -1 is the latest offset, -2 the earliest. */
export const ListOffsets = api({
  key: 2,
  name: "ListOffsets",
  versions: [5, 11],
  flexible: 6,
  request: {
    replicaId: int32,
    isolationLevel: int8,
    topics: arrayOf({
      name: string,
      partitions: arrayOf({
        partitionIndex: int32,
        currentLeaderEpoch: int32.default(-1),
        timestamp: int64
      })
    }),
    timeoutMs: int32.since(10).ignorable
  },
  response: {
    throttleTimeMs,
    topics: arrayOf({
      name: string,
      partitions: arrayOf({
        partitionIndex: int32,
        errorCode: int16,
        timestamp: int64.default(-1),
        offset: int64.default(-1),
        leaderEpoch: int32.default(-1)
      })
    })
  }
})
