import { assert, describe, it } from "@effect/vitest"
import {
  ConsumerProtocolAssignment,
  ConsumerProtocolSubscription,
  decodeVersioned,
  encodeVersioned
} from "@sluice/kafka/internal/protocol/api/consumerProtocol"
import { ProtocolError } from "@sluice/kafka/internal/protocol/codec"
import { FastCheck } from "effect"

import { arbitraryMessage, completed } from "./arbitrary.ts"

const encodedSubscription = (version: number): Uint8Array =>
  encodeVersioned(ConsumerProtocolSubscription, version, {
    topics: ["orders"],
    userData: Uint8Array.of(1, 2),
    ownedPartitions: [{ topic: "orders", partitions: [3] }],
    generationId: 7,
    rackId: "a"
  })

describe("the consumer protocol", () => {
  it.each([ConsumerProtocolSubscription, ConsumerProtocolAssignment])("$name comes back as it went", (message) => {
    for (const version of [0, 1, 2, 3]) {
      FastCheck.assert(
        FastCheck.property(arbitraryMessage(message.fields, version), (value: any) => {
          const bytes = new Uint8Array(encodeVersioned(message, version, value))
          assert.deepStrictEqual(decodeVersioned(message, bytes), { version, value: completed(message.fields, value) })
        }),
        { numRuns: 50 }
      )
    }
  })

  it("drops what an older version cannot carry", () => {
    assert.deepStrictEqual(decodeVersioned(ConsumerProtocolSubscription, new Uint8Array(encodedSubscription(1))), {
      version: 1,
      value: {
        topics: ["orders"],
        userData: Uint8Array.of(1, 2),
        ownedPartitions: [{ topic: "orders", partitions: [3] }],
        generationId: -1,
        rackId: null
      }
    })
  })

  it("reads of a newer version what it knows, and of any version no further than it must", () => {
    const bytes = Buffer.concat([encodedSubscription(3), Uint8Array.of(1, 2, 3)])
    bytes.writeInt16BE(9, 0)
    const newer = decodeVersioned(ConsumerProtocolSubscription, bytes)
    assert.strictEqual(newer.version, 9)
    assert.strictEqual(newer.value.generationId, 7)
    assert.strictEqual(newer.value.rackId, "a")
    bytes.writeInt16BE(0, 0)
    assert.deepStrictEqual(decodeVersioned(ConsumerProtocolSubscription, bytes).value.topics, ["orders"])
  })

  it("refuses what breaks off, and versions below 0", () => {
    const bytes = encodedSubscription(3)
    for (let length = 0; length < bytes.length; length++) {
      assert.throws(() => decodeVersioned(ConsumerProtocolSubscription, bytes.subarray(0, length)), ProtocolError)
    }
    assert.throws(() => decodeVersioned(ConsumerProtocolSubscription, Uint8Array.of(0xff, 0xff, 0)), /no version/)
  })
})
