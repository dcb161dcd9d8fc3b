import { assert, describe, it } from "@effect/vitest"
import {
  formatTraceparent,
  headerValue,
  parseTraceparent,
  traceparent
} from "@sluice/kafka/internal/kernel/traceContext"
import { FastCheck } from "effect"

const hex = (length: number) =>
  FastCheck.stringOf(FastCheck.constantFrom(..."0123456789abcdef"), { minLength: length, maxLength: length })
    .filter((id) => !/^0+$/.test(id))
const traceId = "4bf92f3577b34da6a3ce929d0e0e4736"
const spanId = "00f067aa0ba902b7"

describe("traceparent", () => {
  it("reads what it writes", () => {
    FastCheck.assert(FastCheck.property(hex(32), hex(16), FastCheck.boolean(), (traceId, spanId, sampled) => {
      assert.deepStrictEqual(parseTraceparent(formatTraceparent({ traceId, spanId, sampled })), {
        traceId,
        spanId,
        sampled
      })
    }))
  })

  it("is as the recommendation has it", () => {
    const text = `00-${traceId}-${spanId}-01`
    assert.strictEqual(formatTraceparent({ traceId, spanId, sampled: true }), text)
    assert.deepStrictEqual(parseTraceparent(text), { traceId, spanId, sampled: true })
    assert.deepStrictEqual(parseTraceparent(`00-${traceId}-${spanId}-00`), { traceId, spanId, sampled: false })
    assert.isFalse(parseTraceparent(`00-${traceId}-${spanId}-fe`)!.sampled, "only the last bit says sampled")
  })

  it("takes what newer versions may add", () => {
    assert.deepInclude(parseTraceparent(`cc-${traceId}-${spanId}-03-what-comes`), { traceId, sampled: true })
    assert.deepInclude(parseTraceparent(`cc-${traceId}-${spanId}-03`), { traceId })
  })

  it.each([
    "",
    `ff-${traceId}-${spanId}-01`,
    `00-${traceId}-${spanId}-01-more`,
    `00-${traceId}-${spanId}-01-`,
    `00-${"0".repeat(32)}-${spanId}-01`,
    `00-${traceId}-${"0".repeat(16)}-01`,
    `00-${traceId.toUpperCase()}-${spanId}-01`,
    `00-${traceId.slice(1)}-${spanId}-01`,
    `00-${traceId}-${spanId}-1`,
    `00-${traceId}-${spanId}-zz`,
    `0-${traceId}-${spanId}-01`,
    `00-${traceId}-${spanId}-01\n`,
    ` 00-${traceId}-${spanId}-01`,
    `cc-${traceId}-${spanId}-03x`
  ])("refuses %j", (text) => {
    assert.isUndefined(parseTraceparent(text))
  })

  it("refuses any other text, without a throw", () => {
    FastCheck.assert(FastCheck.property(FastCheck.string(), (text) => assert.isUndefined(parseTraceparent(text))))
  })
})

describe("headerValue", () => {
  const bytes = (text: string) => new TextEncoder().encode(text)

  it("finds the first header of the name that has a value, whatever its case", () => {
    const headers = [
      { key: "other", value: bytes("0") },
      { key: "TraceParent", value: null },
      { key: "TRACEPARENT", value: bytes("1") },
      { key: "traceparent", value: bytes("2") }
    ]
    assert.deepStrictEqual(headerValue(headers, traceparent), bytes("1"))
    assert.isUndefined(headerValue(headers.slice(0, 2), traceparent))
    assert.isUndefined(headerValue([], traceparent))
  })
})
