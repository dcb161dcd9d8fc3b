import { api, array, arrayOf, int16, int32, string, uuid, zeroUuid } from "../field.ts"
import { throttleTimeMs } from "./common.ts"

/** Deletes topics: by name up to version 5, by name or id from 6. */
export const DeleteTopics = api({
  key: 20,
  name: "DeleteTopics",
  versions: [4, 6],
  flexible: 4,
  request: {
    topics: arrayOf({
      name: string.nullable().default(null),
      topicId: uuid.default(zeroUuid)
    }).since(6),
    topicNames: array(string).until(5).ignorable,
    timeoutMs: int32
  },
  response: {
    throttleTimeMs,
    responses: arrayOf({
      name: string.nullable(6),
      topicId: uuid.since(6).ignorable,
      errorCode: int16,
      errorMessage: string.nullable().since(5).default(null).ignorable
    })
  }
})
