import { assert, describe, it } from "@effect/vitest"
import { InitProducerId } from "@sluice/kafka/internal/protocol/api/initProducerId"

import { batch, errorName, Model } from "../support/model.ts"

const lastSequence = 2 ** 31 - 1

/** A producer that says which sequence its batches have. */
const producer = (model: Model, producerId = 7) => (baseSequence: number, records = 1, producerEpoch = 0) => {
  const values = Array.from({ length: records }, (_, index) => `${baseSequence}+${index}`)
  const result = model.produce("orders", 0, batch(values, { producerId, producerEpoch, baseSequence }))
  return result.error === "None" ? result.baseOffset : result.error
}

describe("idempotent producers", () => {
  it("append in sequence", () => {
    const send = producer(new Model({ topics: { orders: 1 } }))
    assert.deepStrictEqual([send(0), send(1, 3), send(4)], [0, 1, 4])
  })

  it("are told the offset of a batch that is in the log already, for the last five", () => {
    const send = producer(new Model({ topics: { orders: 1 } }))
    const offsets = [0, 2, 4, 6, 8, 10].map((sequence) => send(sequence, 2))
    assert.deepStrictEqual(offsets, [0, 2, 4, 6, 8, 10])
    assert.deepStrictEqual([10, 8, 6, 4, 2].map((sequence) => send(sequence, 2)), [10, 8, 6, 4, 2])
    assert.strictEqual(send(0, 2), "OutOfOrderSequenceNumber")
    assert.strictEqual(send(12), 12)
  })

  it("repeat a batch only whole", () => {
    const send = producer(new Model({ topics: { orders: 1 } }))
    send(0, 3)
    assert.strictEqual(send(0, 2), "OutOfOrderSequenceNumber")
    assert.strictEqual(send(1, 2), "OutOfOrderSequenceNumber")
    assert.strictEqual(send(0, 4), "OutOfOrderSequenceNumber")
  })

  it("get the duplicate's time and the log's start with it", () => {
    const model = new Model({ topics: { orders: 1 } })
    const records = batch(["a", "b"], { producerId: 7, producerEpoch: 0, baseSequence: 0, timestamp: 5000 })
    model.produce("orders", 0, records)
    assert.deepInclude(model.produce("orders", 0, records), {
      error: "None",
      baseOffset: 0,
      logAppendTimeMs: 5001,
      logStartOffset: 0
    })
  })

  it("leave no gap", () => {
    const send = producer(new Model({ topics: { orders: 1 } }))
    send(0)
    assert.strictEqual(send(2), "OutOfOrderSequenceNumber")
    assert.strictEqual(send(1), 1)
  })

  it("begin a new epoch at 0, and end the one before", () => {
    const send = producer(new Model({ topics: { orders: 1 } }))
    send(0)
    assert.strictEqual(send(5, 1, 2), "OutOfOrderSequenceNumber")
    assert.strictEqual(send(0, 1, 2), 1)
    assert.strictEqual(send(1, 1, 0), "InvalidProducerEpoch")
    assert.strictEqual(send(0, 1, 0), "InvalidProducerEpoch")
    assert.strictEqual(send(0, 1, 2), 1)
    assert.strictEqual(send(1, 1, 2), 2)
  })

  it("may begin anywhere where nothing is known of them", () => {
    const send = producer(new Model({ topics: { orders: 1 } }))
    assert.deepStrictEqual([send(9, 1, 3), send(10, 1, 3)], [0, 1])
  })

  it("count from 2^31-1 on to 0", () => {
    const send = producer(new Model({ topics: { orders: 1 } }))
    assert.deepStrictEqual([send(lastSequence - 1, 2), send(0, 2)], [0, 2])
    assert.strictEqual(send(lastSequence - 1, 2), 0)
    const across = producer(new Model({ topics: { orders: 1 } }))
    assert.deepStrictEqual([across(lastSequence - 1, 4), across(2), across(lastSequence - 1, 4)], [0, 4, 0])
  })

  it("do not touch each other", () => {
    const model = new Model({ topics: { orders: 1 } })
    const [one, other] = [producer(model, 1), producer(model, 2)]
    assert.deepStrictEqual([one(0), other(0), one(1), other(1)], [0, 1, 2, 3])
  })
})

describe("InitProducerId", () => {
  const init = (model: Model, producerId = -1, producerEpoch = -1, transactionalId: string | null = null) => {
    const response = model.ask(InitProducerId, {
      transactionalId,
      transactionTimeoutMs: 1000,
      producerId,
      producerEpoch
    })
    return { ...response, error: errorName(response.errorCode) }
  }

  it("gives each producer an id of its own, also one that had an id before", () => {
    const model = new Model()
    assert.deepInclude(init(model), { error: "None", producerId: 0, producerEpoch: 0 })
    assert.deepInclude(init(model, 0, 4), { error: "None", producerId: 1, producerEpoch: 0 })
  })

  it("refuses half an identity, and transactions", () => {
    const model = new Model()
    assert.strictEqual(init(model, 3, -1).error, "InvalidRequest")
    assert.strictEqual(init(model, -1, 3).error, "InvalidRequest")
    assert.strictEqual(init(model, -1, -1, "mine").error, "InvalidRequest")
  })
})
