import { api, array, arrayOf, bool, int16, int32, string, uuid, zeroUuid } from "../field.ts"
import { throttleTimeMs } from "./common.ts"

/**
 * Brokers, topics, partitions and their leaders. Null topics ask for all, an empty array for none. A topic may be asked
 * for by id from version 12; brokers ignore the id in 10 and 11.
 */
export const Metadata = api({
  key: 3,
  name: "Metadata",
  versions: [9, 13],
  flexible: 9,
  request: {
    topics: arrayOf({
      topicId: uuid.since(10).ignorable.default(zeroUuid),
      name: string.nullable(10)
    }).nullable(),
    allowAutoTopicCreation: bool.default(true),
    includeClusterAuthorizedOperations: bool.until(10).default(false),
    includeTopicAuthorizedOperations: bool.default(false)
  },
  response: {
    throttleTimeMs,
    brokers: arrayOf({
      nodeId: int32,
      host: string,
      port: int32,
      rack: string.nullable().default(null)
    }),
    clusterId: string.nullable().default(null),
    controllerId: int32.default(-1),
    topics: arrayOf({
      errorCode: int16,
      name: string.nullable(12),
      topicId: uuid.since(10).ignorable,
      isInternal: bool.default(false),
      partitions: arrayOf({
        errorCode: int16,
        partitionIndex: int32,
        leaderId: int32,
        leaderEpoch: int32.default(-1),
        replicaNodes: array(int32),
        isrNodes: array(int32),
        offlineReplicas: array(int32)
      }),
      topicAuthorizedOperations: int32.default(-2147483648)
    }),
    clusterAuthorizedOperations: int32.until(10).default(-2147483648),
    errorCode: int16.since(13).ignorable.default(0)
  }
})
