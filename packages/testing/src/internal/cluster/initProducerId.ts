import type { InitProducerId } from "@sluice/kafka/internal/protocol/api/initProducerId"

import { errorCode } from "./errorCode.ts"
import type { Handler } from "./state.ts"

const refused = (code: number) => ({ errorCode: code, producerId: -1, producerEpoch: -1 })

/**
 * Gives out producer ids. An idempotent producer gets a new id whatever it had before: it raises its epoch by itself
 * (KIP-360). Transactional ids are refused: this cluster has no transaction coordinator.
 */
export const handleInitProducerId: Handler<typeof InitProducerId> = (state, _context, request) => {
  if ((request.producerId === -1) !== (request.producerEpoch === -1)) return refused(errorCode.InvalidRequest)
  if (request.transactionalId !== null) return refused(errorCode.InvalidRequest)
  return { errorCode: errorCode.None, producerId: state.nextProducerId(), producerEpoch: 0 }
}
