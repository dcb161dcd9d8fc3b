import { api, array, arrayOf, int8, int16, int32, int64, records, string, struct, uuid } from "../field.ts"
import { leaderIdAndEpoch, nodeEndpoints, throttleTimeMs } from "./common.ts"

/**
 * Reads record batches. From version 13 topics are named by id alone: branch on the version, not on which of the two is
 * there. The tagged fields that only brokers send (cluster id, replica state, directory id, high watermark) are left
 * out.
 */
export const Fetch = api({
  key: 1,
  name: "Fetch",
  versions: [11, 18],
  flexible: 12,
  request: {
    replicaId: int32.until(14).default(-1),
    maxWaitMs: int32,
    minBytes: int32,
    maxBytes: int32.default(0x7fffffff),
    isolationLevel: int8.default(0),
    sessionId: int32.default(0),
    sessionEpoch: int32.default(-1),
    topics: arrayOf({
      topic: string.until(12).ignorable,
      topicId: uuid.since(13).ignorable,
      partitions: arrayOf({
        partition: int32,
        currentLeaderEpoch: int32.default(-1),
        fetchOffset: int64,
        lastFetchedEpoch: int32.since(12).default(-1),
        logStartOffset: int64.default(-1),
        partitionMaxBytes: int32
      })
    }),
    forgottenTopicsData: arrayOf({
      topic: string.until(12).ignorable,
      topicId: uuid.since(13).ignorable,
      partitions: array(int32)
    }).default([]),
    rackId: string.default("")
  },
  response: {
    throttleTimeMs,
    errorCode: int16,
    sessionId: int32.default(0),
    responses: arrayOf({
      topic: string.until(12).ignorable,
      topicId: uuid.since(13).ignorable,
      partitions: arrayOf({
        partitionIndex: int32,
        errorCode: int16,
        highWatermark: int64,
        lastStableOffset: int64.default(-1),
        logStartOffset: int64.default(-1),
        divergingEpoch: struct({ epoch: int32.default(-1), endOffset: int64.default(-1) }).since(12).tagged(0),
        currentLeader: struct(leaderIdAndEpoch).since(12).tagged(1),
        snapshotId: struct({ endOffset: int64.default(-1), epoch: int32.default(-1) }).since(12).tagged(2),
        abortedTransactions: arrayOf({ producerId: int64, firstOffset: int64 }).nullable(),
        preferredReadReplica: int32.default(-1),
        records: records.nullable()
      })
    }),
    nodeEndpoints: nodeEndpoints.since(16)
  }
})
