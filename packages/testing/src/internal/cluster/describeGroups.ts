import type { DescribeGroups } from "@sluice/kafka/internal/protocol/api/describeGroups"
import type { ResponseInput } from "@sluice/kafka/internal/protocol/field"

import { errorCode } from "./errorCode.ts"
import type { Group, Member } from "./group.ts"
import { checkCoordinator } from "./groupRequest.ts"
import type { ClusterState, Handler, RequestContext } from "./state.ts"

type Described = ResponseInput<typeof DescribeGroups>["groups"][number]

const noBytes = new Uint8Array(0)

/** What is not told of a group that is not there, or is another broker's. */
const nothing = { groupState: "", protocolType: "", protocolData: "", members: [] }

/** Tells what groups are doing. What their members said and were given is known while they are stable. */
export const handleDescribeGroups: Handler<typeof DescribeGroups> = (state, context, request) => ({
  groups: request.groups.map((groupId) => describe(state, context, groupId))
})

const describe = (state: ClusterState, context: RequestContext, groupId: string): Described => {
  const code = checkCoordinator(state, context, groupId)
  if (code !== errorCode.None) return { ...nothing, groupId, errorCode: code }
  const group = state.groups.get(groupId)
  if (group === undefined) return { ...nothing, groupId, errorCode: code, groupState: "Dead" }
  return {
    errorCode: code,
    groupId,
    groupState: group.phase,
    protocolType: group.protocolType ?? "",
    protocolData: group.phase === "Stable" ? group.protocolName ?? "" : "",
    members: Array.from(group.members.values(), (member) => describeMember(group, member))
  }
}

const describeMember = (
  { phase, protocolName }: Group,
  { assignment, clientId, id, instanceId, settings }: Member
) => ({
  memberId: id,
  groupInstanceId: instanceId,
  clientId,
  // Clients of a cluster in memory are nowhere.
  clientHost: "",
  memberMetadata: phase === "Stable"
    ? settings.protocols.find(({ name }) => name === protocolName)?.metadata ?? noBytes
    : noBytes,
  memberAssignment: phase === "Stable" ? assignment : noBytes
})
