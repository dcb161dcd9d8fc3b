import type { FindCoordinator } from "@sluice/kafka/internal/protocol/api/findCoordinator"

import { errorCode } from "./errorCode.ts"
import { nodeOf } from "./metadata.ts"
import type { ClusterState, Handler } from "./state.ts"

const noNode = { nodeId: -1, host: "", port: -1 }

const keyTypes = { group: 0, transaction: 1 } as const

const lookUp = (state: ClusterState, keyType: number, key: string) => {
  if (keyType !== keyTypes.group && keyType !== keyTypes.transaction) {
    return { ...noNode, errorCode: errorCode.InvalidRequest, errorMessage: `Unknown coordinator type ${keyType}` }
  }
  const broker = state.broker(state.offsetsPartition(key).leader)
  return broker === undefined
    ? { ...noNode, errorCode: errorCode.CoordinatorNotAvailable, errorMessage: "The coordinator is not available." }
    : { ...nodeOf(broker), errorCode: errorCode.None, errorMessage: "NONE" }
}

/** Names the broker that coordinates a group or a transactional id: before version 4 one, from 4 on many at a time. */
export const handleFindCoordinator: Handler<typeof FindCoordinator> = (state, context, request) =>
  context.version < 4
    ? lookUp(state, request.keyType, request.key)
    : { coordinators: request.coordinatorKeys.map((key) => ({ key, ...lookUp(state, request.keyType, key) })) }
