import { api, array, arrayOf, int8, int16, int32, string } from "../field.ts"
import { throttleTimeMs } from "./common.ts"

/**
 * The broker that coordinates a group (key type 0) or a transactional id (key type 1). From version 4 it takes many keys
 * and answers with many coordinators; before, one.
 */
export const FindCoordinator = api({
  key: 10,
  name: "FindCoordinator",
  versions: [3, 6],
  flexible: 3,
  request: {
    key: string.until(3),
    keyType: int8.default(0),
    coordinatorKeys: array(string).since(4)
  },
  response: {
    throttleTimeMs,
    errorCode: int16.until(3),
    errorMessage: string.nullable().until(3).ignorable,
    nodeId: int32.until(3),
    host: string.until(3),
    port: int32.until(3),
    coordinators: arrayOf({
      key: string,
      nodeId: int32,
      host: string,
      port: int32,
      errorCode: int16,
      errorMessage: string.nullable()
    }).since(4)
  }
})
