import { api, int16, int32, int64, string } from "../field.ts"
import { throttleTimeMs } from "./common.ts"

/** A producer id for idempotent or transactional writes. Version 6 is not stable yet. */
export const InitProducerId = api({
  key: 22,
  name: "InitProducerId",
  versions: [2, 5],
  flexible: 2,
  request: {
    transactionalId: string.nullable(),
    transactionTimeoutMs: int32,
    producerId: int64.since(3).default(-1),
    producerEpoch: int16.since(3).default(-1)
  },
  response: {
    throttleTimeMs,
    errorCode: int16,
    producerId: int64.default(-1),
    producerEpoch: int16
  }
})
