/** What members of a group and its coordinator say to each other, seen at the proxies on their way. */
import { Heartbeat } from "@sluice/kafka/internal/protocol/api/heartbeat"
import { JoinGroup } from "@sluice/kafka/internal/protocol/api/joinGroup"
import { LeaveGroup } from "@sluice/kafka/internal/protocol/api/leaveGroup"
import { OffsetCommit } from "@sluice/kafka/internal/protocol/api/offsetCommit"
import { decodeRequest, decodeResponse } from "@sluice/kafka/internal/protocol/codec"
import type { AnyApi, RequestOf } from "@sluice/kafka/internal/protocol/field"
import { decodeRequestHeader, responseBody } from "@sluice/kafka/internal/protocol/header"
import type { HistoryEvent } from "@sluice/testing/internal/simulation/history"

import { monotonicTime } from "../../support/member.ts"
import { type Frame, passAll, type Rule } from "../../support/proxy.ts"
import type { ThreeBrokers } from "./cluster.ts"

/** A commit and its answer. */
export type Committed = Extract<HistoryEvent, { readonly _tag: "Committed" }>

/** A request of a member. */
export interface GroupRequest {
  readonly api: "JoinGroup" | "Heartbeat" | "LeaveGroup" | "OffsetCommit"
  readonly time: number
  /** The name of the member. */
  readonly clientId: string
  /** Undefined until it is answered. */
  errorCode: number | undefined
  readonly generation: number | undefined
}

/** What passed so far. */
export interface GroupWatch {
  readonly requests: ReadonlyArray<GroupRequest>
  /** In the order of their answers, one for each partition. */
  readonly commits: ReadonlyArray<Committed>
  /** What becomes of frames once they were seen. */
  rule: Rule
}

const watched = new Map<number, AnyApi & { readonly name: string }>(
  [JoinGroup, Heartbeat, LeaveGroup, OffsetCommit].map((api) => [api.key, api])
)

/** Looks at the requests of a group until the test is over; takes the place of the proxies' rules. */
export const watchGroup = (cluster: ThreeBrokers, groupId: string): GroupWatch => {
  const requests: Array<GroupRequest> = []
  const commits: Array<Committed> = []
  const watch = { requests, commits, rule: passAll }

  for (const proxy of cluster.proxies) {
    const unanswered = new Map<string, { readonly request: GroupRequest; readonly body: RequestOf<AnyApi> }>()
    const asked = (api: AnyApi, frame: Frame): void => {
      const { apiVersion, body, clientId, correlationId } = decodeRequestHeader(frame.bytes.subarray(4))
      const decoded = decodeRequest(api, apiVersion, body) as RequestOf<AnyApi> & {
        readonly groupId: string
        readonly generationId?: number
        readonly generationIdOrMemberEpoch?: number
      }
      if (decoded.groupId !== groupId) return
      const request: GroupRequest = {
        api: api.name as GroupRequest["api"],
        time: monotonicTime(),
        clientId: clientId!,
        errorCode: undefined,
        generation: decoded.generationIdOrMemberEpoch ?? decoded.generationId
      }
      requests.push(request)
      unanswered.set(`${frame.connection}/${correlationId}`, { request, body: decoded })
    }
    const answered = (api: AnyApi, frame: Frame): void => {
      const id = `${frame.connection}/${frame.bytes.readInt32BE(4)}`
      const question = unanswered.get(id)
      if (question === undefined) return
      unanswered.delete(id)
      const { body, request } = question
      const answer = decodeResponse(
        api,
        frame.apiVersion,
        responseBody(api, frame.apiVersion, frame.bytes.subarray(8))
      ) as { readonly errorCode?: number }
      request.errorCode = answer.errorCode
      if (api !== OffsetCommit) return
      const { generationIdOrMemberEpoch: generation, memberId, topics } = body as unknown as RequestOf<
        typeof OffsetCommit
      >
      const codes = (answer as ReturnType<typeof decodeResponse<typeof OffsetCommit>>).topics
      for (const { name, partitions } of topics) {
        for (const { committedOffset: offset, partitionIndex: partition } of partitions) {
          const errorCode = codes.find((topic) =>
            topic.name === name
          )!.partitions.find((each) => each.partitionIndex === partition)!.errorCode
          request.errorCode = errorCode
          commits.push({
            _tag: "Committed",
            time: monotonicTime(),
            sentAt: request.time,
            memberId,
            generation,
            partition,
            offset,
            errorCode
          })
        }
      }
    }
    proxy.rule = (frame) => {
      const api = watched.get(frame.apiKey)
      if (api !== undefined) (frame.direction === "request" ? asked : answered)(api, frame)
      return watch.rule(frame)
    }
  }
  return watch
}
