import { assert, describe, it } from "@effect/vitest"
import { errorOf, errors } from "@sluice/kafka/internal/kernel/errors"

describe("the error table", () => {
  it("has every code from -1 to 133 but 0, once and in order", () => {
    const expected = Array.from({ length: 135 }, (_, i) => i - 1).filter((code) => code !== 0)
    assert.deepStrictEqual(errors.map(({ code }) => code), expected)
  })

  it("tags each error with its name in PascalCase, and no two alike", () => {
    for (const { name, tag } of errors) {
      const pascalCase = name.split("_").map((word) => word[0]! + word.slice(1).toLowerCase()).join("")
      assert.strictEqual(tag, pascalCase)
    }
    assert.strictEqual(new Set(errors.map(({ tag }) => tag)).size, errors.length)
  })

  it("refreshes only before a retry", () => {
    for (const { name, refresh, retriable } of errors) assert.isTrue(retriable || refresh === "none", name)
  })

  it("says maybe of produce failures after which the records can be in the log", () => {
    const maybe = errors.filter(({ persisted }) => persisted === "maybe").map(({ name }) => name)
    assert.deepStrictEqual(maybe, [
      "UNKNOWN_SERVER_ERROR",
      "UNKNOWN_TOPIC_OR_PARTITION",
      "NOT_LEADER_OR_FOLLOWER",
      "REQUEST_TIMED_OUT",
      "NETWORK_EXCEPTION",
      "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
      "OUT_OF_ORDER_SEQUENCE_NUMBER",
      "DUPLICATE_SEQUENCE_NUMBER",
      "INVALID_PRODUCER_EPOCH",
      "INVALID_PRODUCER_ID_MAPPING",
      "KAFKA_STORAGE_ERROR",
      "UNKNOWN_PRODUCER_ID"
    ])
  })

  it("finds what is written behind a code", () => {
    assert.deepStrictEqual(errorOf(6), {
      code: 6,
      name: "NOT_LEADER_OR_FOLLOWER",
      tag: "NotLeaderOrFollower",
      retriable: true,
      refresh: "metadata",
      persisted: "maybe"
    })
    assert.strictEqual(errorOf(16).refresh, "coordinator")
    assert.isTrue(errorOf(19).retriable)
    assert.isFalse(errorOf(90).retriable)
  })

  it("takes a code that it does not know as final, with an unknown outcome", () => {
    assert.deepStrictEqual(errorOf(1234), {
      code: 1234,
      name: "UNKNOWN_1234",
      tag: "Unknown",
      retriable: false,
      refresh: "none",
      persisted: "maybe"
    })
  })
})
