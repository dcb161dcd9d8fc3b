import { assert, describe, it } from "@effect/vitest"
import { validateTopicName } from "@sluice/kafka/internal/kernel/topicName"
import { FastCheck } from "effect"

describe("validateTopicName", () => {
  it("takes 1 to 249 of the legal characters", () => {
    const legal = FastCheck.stringOf(
      FastCheck.constantFrom(..."abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"),
      { minLength: 1, maxLength: 249 }
    ).filter((name) => name !== "." && name !== "..")
    FastCheck.assert(FastCheck.property(legal, (name) => assert.isUndefined(validateTopicName(name))))
    for (const name of ["...", ".a", "-", "_", "a".repeat(249)]) assert.isUndefined(validateTopicName(name))
  })

  it.each([
    ["", "is empty"],
    ["a".repeat(250), "has 250 characters"],
    [".", "is \".\""],
    ["..", "is \".\""],
    ["a b", "has other characters"],
    ["a/b", "has other characters"],
    ["a\n", "has other characters"],
    ["\na", "has other characters"],
    ["ä", "has other characters"],
    ["a\0", "has other characters"],
    ["a:b", "has other characters"],
    ["🦆", "has other characters"]
  ])("says what is wrong with %j", (name, problem) => {
    assert.include(validateTopicName(name)!, problem)
  })

  it("takes nothing but strings", () => {
    for (const name of [undefined, null, 7, {}]) assert.include(validateTopicName(name as never)!, "not a string")
  })

  it("does not repeat a name of a megabyte", () => {
    assert.isBelow(validateTopicName("x".repeat(1024 * 1024))!.length, 400)
  })
})
