import { api, arrayOf, int16, int32, int64, string } from "../field.ts"
import { throttleTimeMs } from "./common.ts"

/** Deletes the records before an offset; -1 is the high watermark. */
export const DeleteRecords = api({
  key: 21,
  name: "DeleteRecords",
  versions: [1, 2],
  flexible: 2,
  request: {
    topics: arrayOf({
      name: string,
      partitions: arrayOf({ partitionIndex: int32, offset: int64 })
    }),
    timeoutMs: int32
  },
  response: {
    throttleTimeMs,
    topics: arrayOf({
      name: string,
      partitions: arrayOf({ partitionIndex: int32, lowWatermark: int64, errorCode: int16 })
    })
  }
})
