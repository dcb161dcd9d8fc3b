import { api, arrayOf, int16, int32, int64, string } from "../field.ts"
import { throttleTimeMs } from "./common.ts"

/** Where in a leader's log the last epoch ends that is not newer than the one asked for (KIP-101, KIP-320). */
export const OffsetForLeaderEpoch = api({
  key: 23,
  name: "OffsetForLeaderEpoch",
  versions: [3, 4],
  flexible: 4,
  request: {
    replicaId: int32.default(-2).ignorable,
    topics: arrayOf({
      topic: string,
      partitions: arrayOf({
        partition: int32,
        currentLeaderEpoch: int32.default(-1).ignorable,
        leaderEpoch: int32
      })
    })
  },
  response: {
    throttleTimeMs,
    topics: arrayOf({
      topic: string,
      partitions: arrayOf({
        errorCode: int16,
        partition: int32,
        leaderEpoch: int32.default(-1).ignorable,
        endOffset: int64.default(-1)
      })
    })
  }
})
