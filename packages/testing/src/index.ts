export type {
  InterceptedRequest,
  Options as MemoryClusterOptions,
  StoredOffset,
  StoredRecord,
  TopicOptions,
  Verdict
} from "./MemoryCluster.ts"
export { MemoryCluster } from "./MemoryCluster.ts"
