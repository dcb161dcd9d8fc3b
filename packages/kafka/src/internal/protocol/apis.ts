import { ApiVersions } from "./api/apiVersions.ts"
import { CreatePartitions } from "./api/createPartitions.ts"
import { CreateTopics } from "./api/createTopics.ts"
import { DeleteRecords } from "./api/deleteRecords.ts"
import { DeleteTopics } from "./api/deleteTopics.ts"
import { DescribeGroups } from "./api/describeGroups.ts"
import { Fetch } from "./api/fetch.ts"
import { FindCoordinator } from "./api/findCoordinator.ts"
import { Heartbeat } from "./api/heartbeat.ts"
import { InitProducerId } from "./api/initProducerId.ts"
import { JoinGroup } from "./api/joinGroup.ts"
import { LeaveGroup } from "./api/leaveGroup.ts"
import { ListOffsets } from "./api/listOffsets.ts"
import { Metadata } from "./api/metadata.ts"
import { OffsetCommit } from "./api/offsetCommit.ts"
import { OffsetFetch } from "./api/offsetFetch.ts"
import { OffsetForLeaderEpoch } from "./api/offsetForLeaderEpoch.ts"
import { Produce } from "./api/produce.ts"
import { SaslAuthenticate } from "./api/saslAuthenticate.ts"
import { SaslHandshake } from "./api/saslHandshake.ts"
import { SyncGroup } from "./api/syncGroup.ts"
import type { AnyApi } from "./field.ts"

const all = [
  Produce,
  Fetch,
  ListOffsets,
  Metadata,
  OffsetCommit,
  OffsetFetch,
  OffsetForLeaderEpoch,
  FindCoordinator,
  JoinGroup,
  Heartbeat,
  LeaveGroup,
  SyncGroup,
  DescribeGroups,
  SaslHandshake,
  ApiVersions,
  CreateTopics,
  DeleteTopics,
  DeleteRecords,
  InitProducerId,
  SaslAuthenticate,
  CreatePartitions
] as const

/** Every API that is declared, by key. */
export const apis: ReadonlyMap<number, AnyApi> = new Map(all.map((api): [number, AnyApi] => [api.key, api]))

/**
 * The highest version that both we and a broker with this range have; none if they do not meet. A version that a broker
 * lacks must never be sent: it closes the connection without an answer.
 */
export const chooseVersion = (api: AnyApi, brokerMin: number, brokerMax: number): number | undefined => {
  const version = Math.min(api.versions[1], brokerMax)
  return version >= Math.max(api.versions[0], brokerMin) ? version : undefined
}
