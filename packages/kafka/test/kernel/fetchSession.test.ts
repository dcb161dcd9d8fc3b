import { assert, describe, it } from "@effect/vitest"
import {
  FetchSession,
  type FetchSessionRequest,
  type WantedPartition
} from "@sluice/kafka/internal/kernel/fetchSession"
import { FastCheck } from "effect"

const wanted = (index: number, options: Partial<WantedPartition> = {}): readonly [string, WantedPartition] => [
  `t-${index}`,
  { topic: "t", partition: index, fetchOffset: 0, leaderEpoch: 1, maxBytes: 100, mustAnswer: false, ...options }
]

const inBrief = ({ forgotten, partitions, sessionEpoch, sessionId }: FetchSessionRequest) =>
  `${sessionId}/${sessionEpoch} ` +
  [...partitions.map(({ partition }) => `+${partition}`), ...forgotten.map(({ partition }) => `-${partition}`)].join(
    " "
  )

describe("FetchSession", () => {
  const all = new Map([wanted(0), wanted(1), wanted(2)])

  it("names all once, and then what has changed", () => {
    const session = new FetchSession()
    assert.strictEqual(inBrief(session.next(all)), "0/0 +0 +1 +2")
    session.answered(7)
    assert.strictEqual(inBrief(session.next(new Map(all))), "7/1 ")
    session.answered(7)
    const changed = new Map([
      wanted(0, { fetchOffset: 5 }),
      wanted(1, { maxBytes: 50 }),
      wanted(2, { leaderEpoch: 2 }),
      wanted(3)
    ])
    assert.strictEqual(inBrief(session.next(changed)), "7/2 +0 +1 +2 +3")
    session.answered(7)
    assert.strictEqual(inBrief(session.next(new Map([wanted(3)]))), "7/3 -0 -1 -2")
    session.answered(7)
    assert.strictEqual(inBrief(session.next(all)), "7/4 +0 +1 +2 -3")
  })

  it("asks for one each time where the broker has no room for it", () => {
    const session = new FetchSession()
    for (let i = 0; i < 2; i++) {
      assert.strictEqual(inBrief(session.next(all)), "0/0 +0 +1 +2")
      session.answered(0)
    }
  })

  it("begins anew where it is not certain what the broker knows, and names the old one", () => {
    const session = new FetchSession()
    session.next(all)
    session.answered(7)
    session.next(all)
    session.restart()
    assert.strictEqual(inBrief(session.next(all)), "7/0 +0 +1 +2")
    session.answered(8)
    assert.strictEqual(inBrief(session.next(all)), "8/1 ")
    assert.isTrue(session.refused())
    assert.strictEqual(inBrief(session.next(all)), "0/0 +0 +1 +2")
    assert.isFalse(session.refused())
    session.next(all)
    session.answered(9)
    session.next(all)
    // Another one's answer, which cannot be.
    session.answered(3)
    assert.match(inBrief(session.next(all)), /^3\/0 /)
  })

  it("begins anew for what the broker would not speak of again", () => {
    const session = new FetchSession()
    session.next(all)
    session.answered(7)
    assert.strictEqual(inBrief(session.next(new Map([...all, wanted(3, { mustAnswer: true })]))), "7/1 +3")
    session.answered(7)
    const again = new Map([wanted(0), wanted(3, { mustAnswer: true })])
    assert.strictEqual(inBrief(session.next(again)), "7/0 +0 +3")
  })

  it("counts on from 1 when the numbers end", () => {
    const session = new FetchSession()
    session.next(all)
    session.answered(7)
    ;(session as unknown as { epoch: number }).epoch = 2 ** 31 - 1
    assert.strictEqual(inBrief(session.next(all)), `7/${2 ** 31 - 1} `)
    session.answered(7)
    assert.strictEqual(inBrief(session.next(all)), "7/1 ")
  })
})

/** What a broker keeps of sessions, with room for one (KIP-227). */
class Broker {
  private ids = 0
  session: { readonly id: number; epoch: number; readonly fetched: Map<string, string> } | undefined
  hasRoom = true

  /** What it fetches for the request, and the id that it answers with; or why it does not. */
  serve({ forgotten, partitions, sessionEpoch, sessionId }: FetchSessionRequest):
    | { readonly fetched: ReadonlyMap<string, string>; readonly sessionId: number }
    | "refused"
  {
    const named = partitions.map((each) => [`${each.partition}`, describePartition(each)] as const)
    if (sessionEpoch === 0) {
      if (this.session?.id === sessionId) this.session = undefined
      const fetched = new Map(named)
      if (!this.hasRoom) return { fetched, sessionId: 0 }
      this.session = { id: ++this.ids, epoch: 1, fetched }
      return { fetched, sessionId: this.ids }
    }
    const { session } = this
    if (session?.id !== sessionId || session.epoch !== sessionEpoch) return "refused"
    for (const [key, value] of named) session.fetched.set(key, value)
    for (const { partition } of forgotten) session.fetched.delete(`${partition}`)
    session.epoch++
    return { fetched: new Map(session.fetched), sessionId }
  }
}

const describePartition = ({ fetchOffset, leaderEpoch, maxBytes }: WantedPartition): string =>
  `${fetchOffset} of epoch ${leaderEpoch}, ${maxBytes} bytes`

const step = FastCheck.record({
  wanted: FastCheck.uniqueArray(
    FastCheck.record({
      index: FastCheck.nat(4),
      fetchOffset: FastCheck.nat(2),
      maxBytes: FastCheck.nat(1),
      leaderEpoch: FastCheck.nat(1),
      mustAnswer: FastCheck.boolean()
    }),
    { minLength: 1, selector: ({ index }) => index }
  ),
  fate: FastCheck.constantFrom("served", "served", "served", "served", "request lost", "answer lost"),
  before: FastCheck.constantFrom("nothing", "nothing", "nothing", "evicted", "full", "room")
})

describe("FetchSession, whatever is lost", () => {
  it("has the broker fetch what is wanted, and nothing else; is refused only after the broker forgot it", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.array(step, { maxLength: 30 }), (steps) => {
        const session = new FetchSession()
        const broker = new Broker()
        const known = new Map<string, boolean>()
        let incremental = 0
        for (const { before, fate, wanted: partitions } of steps) {
          if (before === "evicted") broker.session = undefined
          if (before === "full" || before === "room") broker.hasRoom = before === "room"
          const now = new Map(partitions.map(({ index, ...options }) => wanted(index, options)))
          const request = session.next(now)
          const isFull = request.sessionEpoch === 0
          if (!isFull) incremental++
          if (isFull) assert.strictEqual(request.partitions.length, now.size)
          for (const [key, { mustAnswer }] of now) {
            if (mustAnswer && !isFull) assert.isUndefined(known.get(key), "the broker would not speak of it")
          }
          if (fate === "request lost") {
            session.restart()
            continue
          }
          const answer = broker.serve(request)
          if (fate === "answer lost") {
            session.restart()
            continue
          }
          if (answer === "refused") {
            assert.strictEqual(before, "evicted")
            assert.isTrue(session.refused())
            known.clear()
            continue
          }
          assert.deepStrictEqual(
            new Map([...answer.fetched].sort()),
            new Map(Array.from(now.values(), (each) => [`${each.partition}`, describePartition(each)] as const).sort())
          )
          session.answered(answer.sessionId)
          known.clear()
          if (answer.sessionId !== 0) { for (const key of now.keys()) known.set(key, true) }
        }
        return incremental >= 0
      }),
      { numRuns: 2000 }
    )
  })
})
