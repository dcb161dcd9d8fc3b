import { api, array, arrayOf, bool, int16, int32, string } from "../field.ts"
import { throttleTimeMs } from "./common.ts"

/** Gives topics more partitions: `count` in all. */
export const CreatePartitions = api({
  key: 37,
  name: "CreatePartitions",
  versions: [0, 3],
  flexible: 2,
  request: {
    topics: arrayOf({
      name: string,
      count: int32,
      assignments: arrayOf({ brokerIds: array(int32) }).nullable()
    }),
    timeoutMs: int32,
    validateOnly: bool
  },
  response: {
    throttleTimeMs,
    results: arrayOf({
      name: string,
      errorCode: int16,
      errorMessage: string.nullable().default(null)
    })
  }
})
