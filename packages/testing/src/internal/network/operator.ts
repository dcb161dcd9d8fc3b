import type { MemoryCluster, StoredOffset, StoredRecord } from "../../MemoryCluster.ts"
import type { Cluster } from "../cluster/cluster.ts"
import type { Driver } from "./driver.ts"
import type { Network } from "./network.ts"

/** What the operator of a cluster may do. */
export const operator = ({ cluster }: Network, { operate }: Driver): MemoryCluster["Type"] => ({
  bootstrap: cluster.brokers.map(({ host, port }) => `${host}:${port}`),
  createTopic: (name, { config, partitions = 1, replicas } = {}) =>
    operate(() => cluster.createTopic(name, partitions, config, replicas)),
  createPartitions: (topic, count) => operate(() => cluster.createPartitions(topic, count)),
  deleteTopic: (topic) => operate(() => cluster.deleteTopic(topic)),
  deleteRecords: (topic, partition, before) =>
    operate(({ now }) =>
      cluster.deleteRecords(topic, partition, before === undefined ? undefined : Number(before), now)
    ),
  records: (topic) => operate(() => storedRecords(cluster, topic)),
  committed: (groupId) => operate(() => storedOffsets(cluster, groupId)),
  connections: operate((network) => network.openConnections),
  stopBroker: (broker) => operate((network) => network.faults.inject({ _tag: "Crash", broker, duration: undefined })),
  startBroker: (broker) => operate((network) => network.faults.inject({ _tag: "Start", broker })),
  pauseBroker: (broker) => operate((network) => network.faults.inject({ _tag: "Pause", broker, duration: undefined })),
  resumeBroker: (broker) => operate((network) => network.faults.inject({ _tag: "Resume", broker })),
  setLeader: (topic, partition, broker) =>
    operate((network) => network.faults.inject({ _tag: "MoveLeader", topic, partition, broker })),
  moveCoordinator: (group, broker) =>
    operate((network) => network.faults.inject({ _tag: "MoveCoordinator", group, broker })),
  inject: (fault) => operate((network) => network.faults.inject(fault)),
  heal: operate((network) => network.faults.heal()),
  intercept: (decide) => operate((network) => network.setInterceptor(decide))
})

const copy = (bytes: Uint8Array | null): Uint8Array | null => bytes === null ? null : new Uint8Array(bytes)

const storedRecords = (cluster: Cluster, topic: string): ReadonlyArray<StoredRecord> => {
  const stored: Array<StoredRecord> = []
  for (const { index, log } of cluster.requireTopic(topic).partitions) {
    for (const { records } of log.chunks()) {
      for (const { headers, key, offset, timestamp, value } of records) {
        stored.push({
          partition: index,
          offset: BigInt(offset),
          timestamp,
          key: copy(key),
          value: copy(value),
          headers: headers.map((header) => ({ key: header.key, value: copy(header.value) }))
        })
      }
    }
  }
  return stored
}

const storedOffsets = (cluster: Cluster, groupId: string): ReadonlyArray<StoredOffset> => {
  const stored: Array<StoredOffset> = []
  for (const [topic, partitions] of cluster.committed(groupId)) {
    for (const [partition, { leaderEpoch, metadata, offset }] of partitions) {
      stored.push({ topic, partition, offset: BigInt(offset), leaderEpoch, metadata })
    }
  }
  return stored.sort((one, other) =>
    one.topic === other.topic ? one.partition - other.partition : one.topic < other.topic ? -1 : 1
  )
}
