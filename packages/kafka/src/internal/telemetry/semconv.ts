/**
 * Names of OpenTelemetry's semantic conventions 1.45 for messaging with Kafka.
 * Constants of our own: that part of the conventions is still in development.
 */
export const attribute = {
  system: "messaging.system.name",
  operationName: "messaging.operation.name",
  operationType: "messaging.operation.type",
  destination: "messaging.destination.name",
  partition: "messaging.destination.partition.id",
  consumerGroup: "messaging.consumer.group.name",
  clientId: "messaging.client.id",
  batchCount: "messaging.batch.message_count",
  errorType: "error.type",
  key: "kafka.message.key",
  offset: "kafka.offset",
  tombstone: "kafka.message.tombstone"
} as const
