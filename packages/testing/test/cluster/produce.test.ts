import { assert, describe, it } from "@effect/vitest"
import { Produce } from "@sluice/kafka/internal/protocol/api/produce"
import { batch, bytes, Model, produceRequest, text } from "../support/model.ts"

describe("Produce", () => {
  it("smoke", () => {
    const model = new Model({ topics: { orders: 2 } })
    const a = model.produce("orders", 0, batch(["a", "b"]))
    assert.strictEqual(a.error, "None")
    assert.strictEqual(a.baseOffset, 0)
    const b = model.produce("orders", 0, batch(["c"]))
    assert.strictEqual(b.baseOffset, 2)
    void Produce; void bytes; void produceRequest; void text
  })
})
