import { api, array, arrayOf, bool, int8, int16, int32, string, uuid } from "../field.ts"
import { throttleTimeMs } from "./common.ts"

/** Creates topics. -1 partitions or replicas takes the broker's default (KIP-464). */
export const CreateTopics = api({
  key: 19,
  name: "CreateTopics",
  versions: [5, 7],
  flexible: 5,
  request: {
    topics: arrayOf({
      name: string,
      numPartitions: int32,
      replicationFactor: int16,
      assignments: arrayOf({ partitionIndex: int32, brokerIds: array(int32) }).default([]),
      configs: arrayOf({ name: string, value: string.nullable() }).default([])
    }),
    timeoutMs: int32.default(60000),
    validateOnly: bool.default(false)
  },
  response: {
    throttleTimeMs,
    topics: arrayOf({
      name: string,
      topicId: uuid.since(7).ignorable,
      errorCode: int16,
      errorMessage: string.nullable(),
      topicConfigErrorCode: int16.tagged(0),
      numPartitions: int32.default(-1),
      replicationFactor: int16.default(-1),
      configs: arrayOf({
        name: string,
        value: string.nullable(),
        readOnly: bool,
        configSource: int8.default(-1),
        isSensitive: bool
      }).nullable()
    })
  }
})
