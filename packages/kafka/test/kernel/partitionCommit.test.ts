import { assert, describe, it } from "@effect/vitest"
import * as PartitionCommit from "@sluice/kafka/internal/kernel/partitionCommit"
import { FastCheck } from "effect"

describe("partitionCommit", () => {
  it("sends the newest position, one request at a time", () => {
    let commit = PartitionCommit.settle(PartitionCommit.makePartitionCommit(10), 12, 3, "mine")
    assert.deepStrictEqual(PartitionCommit.toCommit(commit), { offset: 12, leaderEpoch: 3, metadata: "mine" })
    commit = PartitionCommit.settle(PartitionCommit.sent(commit), 14)
    assert.isNull(PartitionCommit.toCommit(commit))
    commit = PartitionCommit.acked(commit, 12)
    assert.deepStrictEqual(PartitionCommit.toCommit(commit), { offset: 14, leaderEpoch: -1, metadata: "" })
    assert.isFalse(PartitionCommit.isCommitted(commit))
    commit = PartitionCommit.acked(PartitionCommit.sent(commit), 14)
    assert.isNull(PartitionCommit.toCommit(commit))
    assert.isTrue(PartitionCommit.isCommitted(commit))
  })

  it("settles everything before a settled record", () => {
    const commit = PartitionCommit.settle(PartitionCommit.makePartitionCommit(null), 9)
    assert.strictEqual(PartitionCommit.settle(commit, 4), commit)
    assert.deepStrictEqual(PartitionCommit.toCommit(commit), { offset: 9, leaderEpoch: -1, metadata: "" })
  })

  it("has nothing to send before anything is settled, or where the coordinator is ahead", () => {
    assert.isNull(PartitionCommit.toCommit(PartitionCommit.makePartitionCommit(null)))
    const commit = PartitionCommit.settle(PartitionCommit.makePartitionCommit(10), 10)
    assert.isNull(PartitionCommit.toCommit(commit))
    assert.strictEqual(PartitionCommit.sent(commit), commit)
    assert.isTrue(PartitionCommit.isCommitted(commit))
  })

  it("sends the newest position after a failure", () => {
    const commit = PartitionCommit.sent(PartitionCommit.settle(PartitionCommit.makePartitionCommit(0), 5))
    const later = PartitionCommit.failed(PartitionCommit.settle(commit, 8))
    assert.strictEqual(PartitionCommit.toCommit(later)?.offset, 8)
  })

  it("a late answer of an earlier request neither ends the present one nor moves back", () => {
    const commit = PartitionCommit.sent(PartitionCommit.settle(PartitionCommit.makePartitionCommit(6), 8))
    const late = PartitionCommit.acked(commit, 5)
    assert.strictEqual(late.inFlight, 8)
    assert.strictEqual(late.committed, 6)
  })

  it("never goes back and never sends what was not settled, in any order of events", () => {
    const event = FastCheck.oneof(
      FastCheck.record({ kind: FastCheck.constant("settle" as const), offset: FastCheck.integer({ min: 0, max: 50 }) }),
      FastCheck.record({ kind: FastCheck.constantFrom("send" as const, "ack" as const, "fail" as const) })
    )
    FastCheck.assert(
      FastCheck.property(
        FastCheck.option(FastCheck.nat({ max: 20 })),
        FastCheck.array(event, { maxLength: 60 }),
        (start, events) => {
          let commit = PartitionCommit.makePartitionCommit(start)
          let furthest = -1
          let coordinator = start ?? -1
          for (const next of events) {
            if (next.kind === "settle") {
              furthest = Math.max(furthest, next.offset)
              commit = PartitionCommit.settle(commit, next.offset)
            } else if (next.kind === "send") {
              const position = PartitionCommit.toCommit(commit)
              if (position !== null) {
                assert.strictEqual(position.offset, furthest)
                assert.isAbove(position.offset, coordinator)
              }
              commit = PartitionCommit.sent(commit)
            } else if (next.kind === "ack") {
              if (commit.inFlight === null) continue
              coordinator = commit.inFlight
              commit = PartitionCommit.acked(commit, commit.inFlight)
            } else {
              commit = PartitionCommit.failed(commit)
            }
          }
          commit = PartitionCommit.sent(PartitionCommit.failed(commit))
          if (commit.inFlight !== null) commit = PartitionCommit.acked(commit, commit.inFlight)
          assert.isTrue(PartitionCommit.isCommitted(commit))
          assert.strictEqual(commit.committed ?? -1, Math.max(start ?? -1, furthest))
        }
      ),
      { seed: 1, numRuns: 500 }
    )
  })
})
