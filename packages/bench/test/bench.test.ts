import { cpSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { assert, describe, it } from "@effect/vitest"

import { chartOf } from "../src/chart.ts"
import type { Measured } from "../src/client.ts"
import { connect } from "../src/clients/sluice.ts"
import { jobOf } from "../src/job.ts"
import { Latencies } from "../src/latencies.ts"
import { Load } from "../src/load.ts"
import { openLoop } from "../src/openLoop.ts"
import { OptionError, parseOptions } from "../src/options.ts"
import { choose, contenders, modes, workloads } from "../src/plan.ts"
import { keyOf, OrderCheck, valueOf } from "../src/records.ts"
import { quantile, Results } from "../src/results.ts"
import { tableOf } from "../src/tables.ts"
import { withoutTracing } from "../src/tracing.ts"

const root = join(import.meta.dirname, "..", "..", "..")

const measured = (seconds: number): Measured => ({
  records: 1_000,
  total: 1_000,
  seconds,
  cpuSeconds: seconds / 2,
  peakRssMb: 100,
  latency: { p50: 100, p99: 2_000, p999: 30_000 }
})

describe("bench", () => {
  describe("options", () => {
    it("have defaults", () => {
      const options = parseOptions([])
      assert.ok(typeof options !== "string")
      assert.deepStrictEqual(options.cases, modes)
      assert.strictEqual(options.rounds, 3)
      assert.strictEqual(options.named, false)
    })

    it("that are wrong are refused, with what is right", () => {
      const wrong: ReadonlyArray<readonly [args: ReadonlyArray<string>, problem: RegExp]> = [
        [["--cases", "sendall"], /--cases: there is no "sendall"; there are sendAll, /],
        [["--clients", ","], /--clients names none/],
        [["--clients", "sluice,librdkafka"], /there is no "librdkafka"; there are sluice, /],
        [["--rounds", "0"], /--rounds must be a whole number from 1 to 1000; it is "0"/],
        [["--rounds", "1.5"], /--rounds/],
        [["--records", "1500"], /--records must be a multiple of 1000/],
        [["--read", "1500"], /--read must be a multiple of 1000/],
        [["--idle-seconds", "0"], /--idle-seconds must be a number above 0/],
        [["--seconds", "soon"], /--seconds must be a number above 0/],
        [["--brokers", "localhost"], /--brokers must be host:port/],
        [["--out", ""], /--out names no directory/],
        [["--round", "1"], /Unknown option '--round'/],
        [["1"], /Unexpected argument/]
      ]
      for (const [args, problem] of wrong) {
        assert.throws(() => parseOptions(args), OptionError, problem)
      }
    })

    it("choose of ours the cases, and of the others what they are compared with", () => {
      const [batches, ...rest] = choose(["sink"], contenders.map(({ id }) => id))
      assert.deepStrictEqual(rest, [])
      assert.deepStrictEqual(
        batches!.entries.filter(({ contender }) => contender.startsWith("sluice")).map(({ mode }) => mode),
        ["sink", "sink"]
      )
      assert.ok(batches!.entries.some(({ contender }) => contender === "kafkajs"))
      assert.deepStrictEqual(choose(["pipe"], ["java"]), [])
    })

    it("take a name for all producers, or all consumers", () => {
      const casesOf = (...args: ReadonlyArray<string>) => {
        const options = parseOptions(args)
        assert.ok(typeof options !== "string")
        return options.cases
      }
      const consumers = casesOf("--cases", "consumers,run")
      assert.includeMembers(Array.from(consumers), ["records", "run", "run-key", "end-to-end", "idle"])
      assert.deepStrictEqual([...casesOf("--cases", "producers"), ...consumers], Array.from<string>(modes))
      assert.deepStrictEqual(
        choose(consumers, ["sluice", "kafkajs", "java"]).map(({ id }) => id),
        ["consume", "latency", "idle"]
      )
    })
  })

  it("counts latencies to within 3 %", () => {
    const latencies = new Latencies()
    for (let i = 1; i <= 10_000; i++) latencies.add(i / 100)
    const { p50, p99, p999 } = latencies.percentiles!
    assert.approximately(p50, 50_000, 1_500)
    assert.approximately(p99, 99_000, 3_000)
    assert.approximately(p999, 99_900, 3_000)
    assert.isUndefined(new Latencies().percentiles)
  })

  it("has quantiles between the numbers", () => {
    assert.strictEqual(quantile([4, 1, 3, 2], 0.5), 2.5)
    assert.strictEqual(quantile([3, 1, 2], 0.5), 2)
    assert.strictEqual(quantile([1, 2, 3], 1), 3)
    assert.isUndefined(quantile([], 0.5))
  })

  it("takes a load until its records are taken", () => {
    const load = new Load({ first: 10, records: 2_500, seconds: 60, rate: 1 })
    assert.deepStrictEqual([load.take(1_000), load.start], [1_000, 10])
    assert.deepStrictEqual([load.take(1_000), load.take(1_000), load.start], [1_000, 500, 2_010])
    assert.deepStrictEqual([load.take(1_000), load.taken], [0, 2_500])
  })

  it("takes a load until its time is up", () => {
    assert.strictEqual(new Load({ first: 0, records: 1_000, seconds: 0, rate: 1 }).take(100), 0)
  })

  it("keeps the rate of the open loop, and waits for all of it", async () => {
    const load = new Load({ first: 0, records: 50, seconds: 60, rate: 10_000 })
    const sent: Array<number> = []
    let acknowledged = 0
    const due: Array<number> = []
    load.onSend = (_, dueAt) => due.push(dueAt)
    await openLoop(load, (index, done) => {
      sent.push(index)
      setImmediate(() => {
        acknowledged++
        done()
      })
    })
    assert.deepStrictEqual(sent, Array.from({ length: 50 }, (_, i) => i))
    assert.strictEqual(acknowledged, 50)
    for (let i = 0; i < 50; i++) assert.approximately(due[i]! - due[0]!, i / 10, 1e-6)
  })

  it("ends the open loop at the first failure", async () => {
    const load = new Load({ first: 0, records: 50, seconds: 60, rate: 1_000 })
    const failed = await openLoop(load, (_, done) => done(new Error("refused"))).catch((error: unknown) => error)
    assert.match(String(failed), /refused/)
    assert.isBelow(load.taken, 50)
  })

  it("notices a record that is missing or out of order", () => {
    const check = new OrderCheck()
    for (let i = 0; i < 40_000; i++) check.see(keyOf(i), valueOf(i))
    assert.strictEqual(check.count, 40_000)
    assert.throws(() => check.see(keyOf(40_000 + 4_096), valueOf(40_000 + 4_096)))
  })

  for (const mode of ["sendAll", "sink", "enqueue", "send-1000", "pipe", "send-1", "rate"] as const) {
    it(`${mode} sends all of its load to the null broker`, async () => {
      const job = jobOf({ mode, records: 2_000, rate: 20_000 })
      const client = await connect(job)
      const load = new Load({ ...job, first: 0 })
      await client.modes[mode]!(load)
      await client.close()
      assert.strictEqual(load.taken, 2_000)
      assert.strictEqual(client.accepted!(), 2_000)
    })
  }

  it("compares with the baseline of the same round, and tells of rounds that failed", () => {
    const workload = workloads.find(({ id }) => id === "one-by-one")!
    const results = new Results()
    for (const entry of workload.entries) {
      const factor = entry.contender === "sluice" ? 0.5 : 1
      results.add(entry, 1, measured(2 * factor))
      results.add(entry, 2, entry.contender === "sarama" ? undefined : measured(4 * factor))
    }
    const table = tableOf(workload, results)
    assert.match(table, /^\| Sluice \| `send` \| 750 \| 2 \| 750 \| 0\.5 \| 100 µs \| 2 ms \| 30 ms \| 100 \|$/m)
    assert.match(table, /^\| Sluice, null transport \| .* \| – \| .* \| – \|/m)
    assert.match(table, /^\| sarama \| `SyncProducer` \(1 of 2 rounds failed\) \|/m)
    const chart = chartOf([workload], results)
    assert.strictEqual(chart.match(/<rect /g)!.length, 2 * workload.entries.length)
    assert.notMatch(chart, /NaN|undefined/)
  })

  it("has for each kind the columns that tell of it", () => {
    for (const workload of workloads) {
      const results = new Results()
      for (const entry of workload.entries) results.add(entry, 1, measured(2))
      const table = tableOf(workload, results)
      const rows = table.split("\n").slice(2)
      assert.strictEqual(rows.length, workload.entries.length + 2)
      assert.strictEqual(new Set(rows.map((row) => row.split("|").length)).size, 1)
      assert.notMatch(table, /NaN|undefined|Infinity/)
      assert.notMatch(chartOf([workload], results), /NaN|undefined|Infinity/)
    }
    const idle = workloads.find(({ kind }) => kind === "idle")!
    const results = new Results()
    for (const entry of idle.entries) results.add(entry, 1, measured(entry.contender === "sluice" ? 4 : 2))
    assert.match(tableOf(idle, results), /^\| Sluice \| `run` \| 50 \| 1 \| 100 \|$/m)
  })

  it("takes the code that traces out of the client", () => {
    const copy = mkdtempSync(join(tmpdir(), "sluice-bench-"))
    try {
      cpSync(join(root, "packages", "kafka", "src"), join(copy, "packages", "kafka", "src"), { recursive: true })
      assert.isUndefined(withoutTracing(copy))
    } finally {
      rmSync(copy, { recursive: true, force: true })
    }
  })
})
