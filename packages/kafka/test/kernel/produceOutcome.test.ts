import { assert, describe, it } from "@effect/vitest"
import { errorOf, errors } from "@sluice/kafka/internal/kernel/errors"
import { type AnsweredBatch, type ProduceOutcome, produceOutcome } from "@sluice/kafka/internal/kernel/produceOutcome"

const batches: ReadonlyArray<AnsweredBatch> = [true, false].flatMap((idempotent) =>
  [true, false].flatMap((maybeWritten) =>
    [true, false].flatMap((isOldest) =>
      [1, 2].map((recordCount) => ({ idempotent, isOldest, maybeWritten, recordCount }))
    )
  )
)
/** Also one that is newer than this client. */
const codes = [0, 1234, ...errors.map(({ code }) => code)]

const each = (check: (code: number, batch: AnsweredBatch, outcome: ProduceOutcome) => void): void => {
  for (const code of codes) for (const batch of batches) check(code, batch, produceOutcome(code, batch))
}

const isConsequence = (code: number, { idempotent, isOldest }: AnsweredBatch): boolean =>
  [45, 47, 59].includes(code) && idempotent && !isOldest

describe("produceOutcome", () => {
  it("takes a lost sequence as a consequence while another batch is before it", () => {
    each((code, batch, outcome) => {
      if (!isConsequence(code, batch)) return
      assert.deepStrictEqual(outcome, { _tag: "RetryInTurn" }, `${code}`)
    })
  })

  it("acknowledges without an error, and what the broker has already", () => {
    each((code, _, outcome) =>
      assert.strictEqual(outcome._tag === "Acknowledged", code === 0 || code === 46, `${code}`)
    )
  })

  it("never sends under another sequence what may have been written", () => {
    each((code, batch, outcome) => {
      if (!batch.maybeWritten) return
      assert.notInclude(["RetryInNextEpoch", "Split"], outcome._tag, `${code}`)
      if (outcome._tag === "Failed") assert.strictEqual(outcome.persisted, "maybe", `${code}`)
    })
  })

  it("sends again what the table says is retriable", () => {
    each((code, batch, outcome) => {
      if (isConsequence(code, batch)) return
      assert.strictEqual(outcome._tag === "Retry", errorOf(code).retriable, `${code}`)
      if (outcome._tag !== "Retry") return
      assert.strictEqual(outcome.refresh, errorOf(code).refresh !== "none")
      assert.strictEqual(outcome.maybeWritten, errorOf(code).persisted === "maybe")
    })
  })

  it("splits what is too large, down to one record", () => {
    for (const code of [10, 18]) {
      const outcome = (maybeWritten: boolean, recordCount: number) =>
        produceOutcome(code, { idempotent: true, isOldest: true, maybeWritten, recordCount })
      assert.deepStrictEqual(outcome(false, 2), { _tag: "Split" })
      assert.deepStrictEqual(outcome(false, 1), { _tag: "Failed", persisted: "no" })
      assert.deepStrictEqual(outcome(true, 2), { _tag: "Failed", persisted: "maybe" })
    }
  })

  it("goes on in a new epoch when the sequence is lost", () => {
    for (const code of [45, 47, 59]) {
      const outcome = (idempotent: boolean, maybeWritten: boolean) =>
        produceOutcome(code, { idempotent, isOldest: true, maybeWritten, recordCount: 1 })
      assert.deepStrictEqual(outcome(true, false), { _tag: "RetryInNextEpoch" })
      assert.deepStrictEqual(outcome(true, true), { _tag: "Failed", persisted: "maybe" })
      assert.deepStrictEqual(outcome(false, false), { _tag: "Failed", persisted: "no" })
    }
  })

  it("fails for good, and says what is known", () => {
    const outcome = (code: number) =>
      produceOutcome(code, { idempotent: true, isOldest: true, maybeWritten: false, recordCount: 1 })
    assert.deepStrictEqual(outcome(29), { _tag: "Failed", persisted: "no" })
    assert.deepStrictEqual(outcome(87), { _tag: "Failed", persisted: "no" })
    assert.deepStrictEqual(outcome(-1), { _tag: "Failed", persisted: "maybe" })
    assert.deepStrictEqual(outcome(1234), { _tag: "Failed", persisted: "maybe" })
  })
})
