import { assert, describe, it } from "@effect/vitest"
import { holdsStill } from "@sluice/kafka/internal/kernel/readReplica"

describe("a preferred replica", () => {
  const preferred = { broker: 2, leaderEpoch: 5, until: 1000 }
  const view = { leader: 1, leaderEpoch: 5, now: 999 }
  it.each([
    ["holds", {}, true],
    ["not past its time", { now: 1000 }, false],
    ["not when it leads itself", { leader: 2 }, false],
    ["not in another epoch", { leaderEpoch: 6 }, false],
    ["also while there is no leader", { leader: -1 }, true]
  ])("%s", (_, change, expected) => assert.strictEqual(holdsStill(preferred, { ...view, ...change }), expected))
})
