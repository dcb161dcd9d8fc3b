export * as Fault from "./Fault.ts"
export type {
  InterceptedRequest,
  Options as MemoryClusterOptions,
  StoredOffset,
  StoredRecord,
  TopicOptions,
  Verdict
} from "./MemoryCluster.ts"
export { MemoryCluster } from "./MemoryCluster.ts"
export * as Simulation from "./Simulation.ts"
