import { assert, describe, it } from "@effect/vitest"
import * as PartitionCommit from "@sluice/kafka/internal/kernel/partitionCommit"
import { FastCheck } from "effect"

const at = (offset: number, revision = 0) => ({ offset, revision })

describe("partitionCommit", () => {
  it("sends the newest position, one request at a time", () => {
    let commit = PartitionCommit.settle(PartitionCommit.makePartitionCommit(10), 12, 3, "mine")
    assert.deepStrictEqual(PartitionCommit.toCommit(commit), {
      offset: 12,
      leaderEpoch: 3,
      metadata: "mine",
      revision: 0
    })
    commit = PartitionCommit.settle(PartitionCommit.sent(commit), 14)
    assert.isNull(PartitionCommit.toCommit(commit))
    commit = PartitionCommit.acked(commit, at(12))
    assert.deepStrictEqual(PartitionCommit.toCommit(commit), { offset: 14, leaderEpoch: -1, metadata: "", revision: 0 })
    assert.isFalse(PartitionCommit.isCommitted(commit))
    commit = PartitionCommit.acked(PartitionCommit.sent(commit), at(14))
    assert.isNull(PartitionCommit.toCommit(commit))
    assert.isTrue(PartitionCommit.isCommitted(commit))
  })

  it("settles everything before a settled record", () => {
    const commit = PartitionCommit.settle(PartitionCommit.makePartitionCommit(null), 9)
    assert.strictEqual(PartitionCommit.settle(commit, 4), commit)
    assert.deepStrictEqual(PartitionCommit.toCommit(commit), { offset: 9, leaderEpoch: -1, metadata: "", revision: 0 })
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
    const late = PartitionCommit.acked(commit, at(5))
    assert.deepStrictEqual(late.inFlight, at(8))
    assert.strictEqual(late.committed, 6)
  })

  it("sends other metadata for the same offset, and none where nothing is said of it", () => {
    const { acked, hasCommitted, isCommitted, makePartitionCommit, sent, settle, toCommit } = PartitionCommit
    let commit = sent(settle(makePartitionCommit(null), 5, 2, "a"))
    commit = settle(settle(commit, 5, 2, "b"), 5)
    assert.isNull(toCommit(commit))
    commit = acked(commit, at(5))
    assert.isTrue(hasCommitted(commit, at(5)))
    assert.isFalse(hasCommitted(commit, at(5, 1)))
    assert.deepStrictEqual(toCommit(commit), { offset: 5, leaderEpoch: 2, metadata: "b", revision: 1 })
    commit = acked(sent(commit), at(5, 1))
    assert.isTrue(isCommitted(settle(settle(commit, 5, 2, "b"), 4, 2, "c")))
    // Also over an offset of an earlier member.
    const first = settle(makePartitionCommit(7), 7, -1, "mine")
    assert.strictEqual(toCommit(first)?.metadata, "mine")
    assert.isTrue(isCommitted(acked(sent(first), at(7, 1))))
  })

  it("goes out without metadata that was refused, but with what came in its place", () => {
    const { makePartitionCommit, refused, sent, settle, toCommit } = PartitionCommit
    const commit = sent(settle(makePartitionCommit(3), 5, 2, "too long"))
    assert.deepStrictEqual(toCommit(refused(commit)), { offset: 5, leaderEpoch: 2, metadata: "", revision: 1 })
    assert.strictEqual(toCommit(refused(settle(commit, 5, 2, "short")))?.metadata, "short")
    assert.strictEqual(toCommit(refused(settle(commit, 6, 2, "of the next")))?.metadata, "of the next")
  })

  it("never goes back and never sends what was not settled, in any order of events", () => {
    const event = FastCheck.oneof(
      FastCheck.record({
        kind: FastCheck.constant("settle" as const),
        offset: FastCheck.integer({ min: 0, max: 30 }),
        metadata: FastCheck.constantFrom(undefined, "", "a", "b")
      }),
      FastCheck.record({ kind: FastCheck.constantFrom("send" as const, "ack" as const, "fail" as const) })
    )
    FastCheck.assert(
      FastCheck.property(
        FastCheck.option(FastCheck.nat({ max: 20 })),
        FastCheck.array(event, { maxLength: 60 }),
        (start, events) => {
          let commit = PartitionCommit.makePartitionCommit(start)
          let settled = { offset: -1, metadata: "" }
          let coordinator = { offset: start ?? -1, metadata: "of somebody else" }
          let onItsWay = coordinator
          const send = () => {
            const position = PartitionCommit.toCommit(commit)
            if (position === null) return
            const { metadata, offset } = onItsWay = position
            assert.deepStrictEqual({ offset, metadata }, settled)
            assert.isAtLeast(offset, coordinator.offset)
            assert.notDeepEqual({ offset, metadata }, coordinator)
            commit = PartitionCommit.sent(commit)
          }
          const ack = () => {
            if (commit.inFlight === null) return
            const { metadata, offset } = onItsWay
            coordinator = { offset, metadata }
            commit = PartitionCommit.acked(commit, commit.inFlight)
            assert.strictEqual(commit.committed, offset)
          }
          for (const next of events) {
            if (next.kind === "settle") {
              const { metadata, offset } = next
              commit = PartitionCommit.settle(commit, offset, -1, metadata)
              if (offset > settled.offset) settled = { offset, metadata: metadata ?? "" }
              else if (offset === settled.offset && metadata !== undefined) settled = { offset, metadata }
            } else if (next.kind === "send") {
              send()
            } else if (next.kind === "ack") {
              ack()
            } else {
              commit = PartitionCommit.failed(commit)
            }
          }
          commit = PartitionCommit.failed(commit)
          send()
          ack()
          assert.isTrue(PartitionCommit.isCommitted(commit))
          if (settled.offset > (start ?? -1)) assert.deepStrictEqual(coordinator, settled)
          assert.isAtLeast(coordinator.offset, settled.offset)
        }
      ),
      { seed: 1, numRuns: 1000 }
    )
  })
})
