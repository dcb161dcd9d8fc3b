import type { Job } from "./client.ts"

/** A job that has all this in common with others: without brokers, it is for the null transport. */
export const jobOf = (own: Partial<Job>): Job => ({
  client: "sluice",
  kind: "send",
  mode: "sendAll",
  brokers: "",
  topic: "bench",
  partitions: 3,
  group: "",
  idempotent: true,
  tuned: false,
  warmUp: 0,
  records: 1_000,
  seconds: 60,
  rate: 10_000,
  ...own
})
