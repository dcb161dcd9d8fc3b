import { api, arrayOf, int16, int32, int64, records, string, struct } from "../field.ts"
import { leaderIdAndEpoch, nodeEndpoints, throttleTimeMs } from "./common.ts"

/** Writes record batches. Version 13 names topics by id and is left out. */
export const Produce = api({
  key: 0,
  name: "Produce",
  versions: [8, 12],
  flexible: 9,
  request: {
    transactionalId: string.nullable().default(null),
    acks: int16,
    timeoutMs: int32,
    topicData: arrayOf({
      name: string,
      partitionData: arrayOf({ index: int32, records: records.nullable() })
    })
  },
  response: {
    responses: arrayOf({
      name: string,
      partitionResponses: arrayOf({
        index: int32,
        errorCode: int16,
        baseOffset: int64,
        logAppendTimeMs: int64.default(-1),
        logStartOffset: int64.default(-1),
        recordErrors: arrayOf({
          batchIndex: int32,
          batchIndexErrorMessage: string.nullable().default(null)
        }).default([]),
        errorMessage: string.nullable().default(null),
        currentLeader: struct(leaderIdAndEpoch).since(10).tagged(0)
      })
    }),
    throttleTimeMs,
    nodeEndpoints: nodeEndpoints.since(10)
  }
})
