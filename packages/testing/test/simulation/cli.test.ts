import { spawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

import { assert, describe, it } from "@effect/vitest"

import { type Arguments, parseArguments, seedCount, seedsOf } from "../../src/internal/simulation/cli/arguments.ts"
import { doJob } from "../../src/internal/simulation/cli/job.ts"
import { runSeeds } from "../../src/internal/simulation/cli/runSeeds.ts"
import { simulate } from "../../src/internal/simulation/cli/simulate.ts"
import { makeThread, type Thread } from "../../src/internal/simulation/cli/thread.ts"
import { noTotals, progressLine, withResult } from "../../src/internal/simulation/cli/totals.ts"
import { explainSeed, trySeed } from "../../src/internal/simulation/cli/trySeed.ts"
import { makePlan } from "./support/fakePlan.ts"
import { runPlan } from "./support/fakeRun.ts"
import { fakeRunner } from "./support/fakeRunner.ts"

const runner = { makePlan, runPlan }

const plain = { verbose: false, colours: false }

const parsed = (...args: ReadonlyArray<string>): Arguments => {
  const result = parseArguments(args, 1_234_567_890_123)
  if (result._tag !== "Run") throw new Error(result._tag)
  return result.arguments
}

describe("the command line", () => {
  it("runs the first hundred seeds where nothing is said", () => {
    assert.deepStrictEqual(parsed(), {
      ranges: [{ first: 1, last: 100 }],
      fresh: undefined,
      isReplay: false,
      minutes: undefined,
      workers: undefined,
      keepGoing: false,
      timeline: false,
      verbose: false,
      shrink: true,
      html: undefined,
      json: undefined
    })
  })

  it("takes every option", () => {
    const args =
      "--seeds 5..7 --minutes 1.5 --workers 3 --keep-going --timeline --verbose --no-shrink --html a --json b"
    assert.deepStrictEqual(parsed(...args.split(" ")), {
      ranges: [{ first: 5, last: 7 }],
      fresh: undefined,
      isReplay: false,
      minutes: 1.5,
      workers: 3,
      keepGoing: true,
      timeline: true,
      verbose: true,
      shrink: false,
      html: "a",
      json: "b"
    })
    assert.isTrue(parsed("--seed", "0").isReplay)
    assert.deepStrictEqual(parsed("--", "--seed", "4294967295").ranges, [{ first: 4294967295, last: 4294967295 }])
    assert.deepStrictEqual(parseArguments(["--help"], 0), { _tag: "Help" })
  })

  it("chooses fresh seeds by the time, after those that are named", () => {
    const { fresh, ranges } = parsed("--fresh", "10")
    assert.deepStrictEqual(ranges, [fresh!])
    assert.strictEqual(fresh!.last - fresh!.first, 9)
    assert.notDeepEqual(parseArguments(["--fresh", "10"], 1_234_567_890_124), parseArguments(["--fresh", "10"], 5))
    assert.deepStrictEqual(parsed("--fresh", "10", "--seeds", "1..2").ranges, [{ first: 1, last: 2 }, fresh!])
    assert.isAtMost(parsed("--fresh", "1000000000").fresh!.last, 2 ** 32 - 1)
  })

  it.each([
    ["--bogus", "Unknown option '--bogus'"],
    ["seeds", "Unexpected argument 'seeds'"],
    ["--seeds", "argument missing"],
    ["--seeds 5", "--seeds must be like 1..500, got \"5\""],
    ["--seeds 5..", "--seeds must be like 1..500"],
    ["--seeds -1..5", "ambiguous"],
    ["--seeds 7..5", "--seeds must go upwards"],
    ["--seeds 1..4294967296", "from 0 to 4294967295, got \"4294967296\""],
    ["--seed 1.5", "--seed must be a whole number"],
    ["--seed 1e3", "--seed must be a whole number"],
    ["--seed 1 --fresh 2", "does not go with"],
    ["--seed 1 --seeds 1..2", "does not go with"],
    ["--fresh 0", "--fresh must be a whole number from 1"],
    ["--minutes 0", "--minutes must be a number above 0"],
    ["--minutes soon", "--minutes must be a number above 0, got \"soon\""],
    ["--workers 0", "--workers must be a whole number from 1"],
    ["--html=", "--html must be the name of a file"],
    ["--timeline=yes", "does not take an argument"]
  ])("does not take %s", (args, message) => {
    const result = parseArguments(args.split(" "), 0)
    if (result._tag !== "Wrong") return assert.fail(result._tag)
    assert.include(result.message, message)
  })

  it("counts and lists the seeds of several ranges", () => {
    const ranges = [{ first: 3, last: 5 }, { first: 9, last: 9 }]
    assert.strictEqual(seedCount(ranges), 4)
    assert.deepStrictEqual([...seedsOf(ranges)], [3, 4, 5, 9])
  })
})

describe("a seed", () => {
  it("that is well has counts, and its timeline where that is asked for", () => {
    const { text, ...counts } = trySeed(runner, 1, undefined)
    assert.isUndefined(text)
    assert.deepStrictEqual(counts, {
      seed: 1,
      violations: [],
      stack: undefined,
      records: 10,
      faults: 8,
      faultKinds: ["Crash"],
      time: 10_000
    })
    assert.include(trySeed(runner, 1, plain).text, "seed 1: nothing is wrong")
  })

  it.each([[40, "Error: no plan for 40"], [41, "TypeError: cannot run 41"]])(
    "that throws fails, with the stack (%i)",
    (seed, message) => {
      const { stack, violations } = trySeed(runner, seed, plain)
      assert.deepStrictEqual(violations, [{ invariant: "no-crash", message, time: undefined }])
      assert.match(stack!, /\.ts:\d+/)
      const { html, isReproduced, text } = explainSeed(runner, seed, "no-crash", { shrinkRuns: 100, text: plain })
      assert.isTrue(isReproduced)
      assert.include(text, message)
      assert.include(html, message)
    }
  )

  it("that fails is explained by the fewest faults", () => {
    const { isReproduced, plannedFaults, shrunk, text } = explainSeed(runner, 13, "no-loss", {
      shrinkRuns: 100,
      text: plain
    })
    assert.deepStrictEqual({ isReproduced, plannedFaults }, { isReproduced: true, plannedFaults: 8 })
    assert.deepStrictEqual(shrunk!.faults.map(({ at }) => at), [3000, 6000])
    assert.isTrue(shrunk!.isMinimal)
    assert.include(text, "10 records, 2 faults of 1 kind")
  })

  it("that fails keeps its faults where they are not to be shrunk", () => {
    const { shrunk, text } = explainSeed(runner, 13, "no-loss", { shrinkRuns: 0, text: plain })
    assert.isUndefined(shrunk)
    assert.include(text, "8 faults of 1 kind")
  })

  it("that does not fail again says so, and is not shrunk", () => {
    const { isReproduced, shrunk } = explainSeed(runner, 1, "no-loss", { shrinkRuns: 100, text: plain })
    assert.isFalse(isReproduced)
    assert.isUndefined(shrunk)
  })
})

/** Does its jobs here, each in a turn of its own; a seed that has a gate waits for it. */
const makeFakeThread = (gates: ReadonlyMap<number, Promise<unknown>> = new Map()): Thread => {
  let stop: (() => void) | undefined
  return {
    run: async (job, onProgress) => {
      const stopped = new Promise<"stopped">((resolve) => {
        stop = () => resolve("stopped")
      })
      const first = await Promise.race([stopped, gates.get(job.seed) ?? Promise.resolve()])
      if (first === "stopped") return { _tag: "Stopped" }
      return { _tag: "Done", result: doJob(runner, job, onProgress ?? (() => {})) as any }
    },
    stop: async () => stop?.()
  }
}

const never = new Promise<never>(() => {})

const upTo = (last: number): ReadonlyArray<number> => Array.from({ length: last }, (_, index) => index + 1)

describe("seeds", () => {
  const runThem = async (
    seeds: ReadonlyArray<number>,
    threads: ReadonlyArray<Thread>,
    options: { readonly keepGoing?: boolean; readonly isOver?: () => boolean } = {}
  ): Promise<ReadonlyArray<number>> => {
    const told: Array<number> = []
    await runSeeds(seeds, threads, {
      text: undefined,
      keepGoing: false,
      isOver: () => false,
      onResult: ({ seed, violations }) => told.push(violations.length > 0 ? -seed : seed),
      ...options
    })
    return told
  }

  it("are told of in their order, whichever ends first", async () => {
    let open!: () => void
    const gate = new Promise<void>((resolve) => {
      open = resolve
    })
    const threads = [1, 2, 3].map(() => makeFakeThread(new Map([[2, gate]])))
    const done = runThem(upTo(12), threads)
    setImmediate(open)
    assert.deepStrictEqual(await done, upTo(12))
  })

  it("end with the first that fails: those before it are awaited, those after it given up", async () => {
    let open!: () => void
    const gate = new Promise<void>((resolve) => {
      open = resolve
    })
    const gates = new Map([[11, gate], [14, never]])
    const threads = upTo(4).map(() => makeFakeThread(gates))
    const done = runThem(upTo(30), threads)
    setImmediate(open)
    assert.deepStrictEqual(await done, [...upTo(12), -13])
  })

  it("end with the lowest of two that fail, whichever fails first", async () => {
    let open!: () => void
    const gate = new Promise<void>((resolve) => {
      open = resolve
    })
    const done = runThem([1, 13, 20, 2, 3], [1, 2, 3].map(() => makeFakeThread(new Map([[13, gate]]))))
    setImmediate(open)
    assert.deepStrictEqual(await done, [1, -13])
  })

  it("go on where they are to keep going", async () => {
    const told = await runThem(upTo(22), [makeFakeThread(), makeFakeThread()], { keepGoing: true })
    assert.deepStrictEqual(told, upTo(22).map((seed) => seed === 13 || seed === 20 ? -seed : seed))
  })

  it("are not started when the time is up", async () => {
    let started = 0
    assert.deepStrictEqual(await runThem(upTo(30), [makeFakeThread()], { isOver: () => started++ >= 4 }), upTo(4))
  })
})

const rendering = async (
  args: string,
  options: {
    readonly threads?: () => Thread
    readonly interrupted?: AbortSignal
    readonly isTerminal?: boolean
    readonly noColour?: boolean
    readonly elapsed?: () => number
  } = {}
) => {
  const written = { stdout: "", stderr: "" }
  const files = new Map<string, string>()
  const output = (name: keyof typeof written) => ({
    write: (text: string) => {
      written[name] += text
    },
    isTerminal: options.isTerminal ?? false
  })
  const code = await simulate(args.split(" "), {
    stdout: output("stdout"),
    stderr: output("stderr"),
    noColour: options.noColour ?? false,
    now: () => 1_000_000,
    elapsed: options.elapsed ?? (() => 2000),
    cores: 2,
    makeThread: options.threads ?? (() => makeFakeThread()),
    interrupted: options.interrupted ?? new AbortController().signal,
    writeFile: (file, text) => files.set(file, text)
  })
  return { code, files, ...written }
}

describe("simulate", () => {
  it("says how it went where all is well, and nothing on stdout", async () => {
    const { code, files, stderr, stdout } = await rendering("--seeds 1..12 --json out.json")
    assert.deepStrictEqual({ code, stdout }, { code: 0, stdout: "" })
    assert.strictEqual(
      stderr,
      "12 seeds, 0 failed: 120 records, 96 faults, 2 min 0 s of virtual time in 2.0 s (6.0 seeds/s)\n" +
        "seeds with each kind of fault: Crash 12\n"
    )
    assert.deepStrictEqual([...files.keys()], ["out.json"])
    const { ending, failed, failures, passed, planned } = JSON.parse(files.get("out.json")!)
    assert.deepStrictEqual({ ending, failed, failures, passed, planned }, {
      ending: "done",
      failed: 0,
      failures: [],
      passed: 12,
      planned: 12
    })
  })

  it("stops at a failure, and tells all that is needed to look into it", async () => {
    const { code, files, stderr, stdout } = await rendering("--seeds 1..30 --json out.json")
    assert.strictEqual(code, 1)
    assert.include(stderr, "seed 13 fails: 1 violation\n  6.100 s no-loss: record 7 is gone\n")
    assert.include(stderr, "2 of 8 faults are enough")
    assert.include(stderr, "page: .cache/simulation/seed-13.html")
    assert.include(stderr, "again: pnpm simulate --seed 13")
    assert.include(stderr, "13 seeds of 30 (stopped at the failure), 1 failed")
    assert.include(stdout, "the fewest faults with which seed 13 still fails:")
    assert.include(stdout, "7 is acknowledged at 0/12")
    assert.deepStrictEqual([...files.keys()], [join(".cache", "simulation", "seed-13.html"), "out.json"])
    const { failed, failures, passed } = JSON.parse(files.get("out.json")!)
    assert.deepStrictEqual({ failed, passed }, { failed: 1, passed: 12 })
    assert.strictEqual(failures[0].replay, "pnpm simulate --seed 13")
    assert.lengthOf(failures[0].shrunk.faults, 2)
  })

  it("goes on where it is to keep going, and looks into one failure of each kind", async () => {
    const { code, files, stderr } = await rendering("--seeds 13..41 --keep-going --no-shrink --html first.html")
    assert.strictEqual(code, 1)
    assert.include(stderr, "29 seeds, 4 failed")
    assert.deepStrictEqual(
      [...files.keys()],
      ["first.html", ...[20, 40].map((seed) => join(".cache", "simulation", `seed-${seed}.html`))]
    )
    assert.include(files.get("first.html"), "Seed 13")
    assert.match(stderr, /seed 41 fails: 1 violation\n {2}no-crash: TypeError: cannot run 41\n {2}TypeError.*\n {6}at /)
  })

  it("shows what happened in one seed", async () => {
    const { code, files, stdout } = await rendering("--seed 1 --html one.html --verbose")
    assert.strictEqual(code, 0)
    assert.include(stdout, "seed 1: nothing is wrong")
    assert.include(stdout, "handles 9 of 0/12")
    assert.include(files.get("one.html"), "Seed 1: ")
  })

  it("shows what happened in each seed, in their order", async () => {
    const { stdout } = await rendering("--seeds 11..14 --timeline")
    const seeds = Array.from(stdout.matchAll(/^seed (\d+): .*\n.* (\d) faults/gm), ([, seed, faults]) => [seed, faults])
    assert.deepStrictEqual(seeds, [["11", "8"], ["12", "8"], ["13", "8"], ["13", "2"]])
    const whole = await rendering("--seed 13 --timeline --no-shrink")
    assert.lengthOf(whole.stdout.match(/^seed 13/gm)!, 1)
  })

  it("starts no seed after its time, and says so", async () => {
    let time = 0
    const { code, stderr } = await rendering("--fresh 30 --minutes 0.1", { elapsed: () => time += 1000 })
    assert.strictEqual(code, 0)
    assert.match(stderr, /^fresh seeds: 1000000\.\.1000029\n/)
    assert.match(stderr, /\d seeds of 30 \(the time is up\), 0 failed/)
    assert.include(stderr, "pnpm simulate --seeds 1000000..1000029")
  })

  it("ends with what it knows when it is interrupted", async () => {
    const stop = new AbortController()
    const threads = () => makeFakeThread(new Map([[3, never], [5, never]]))
    setImmediate(() => setImmediate(() => stop.abort()))
    const { code, stderr } = await rendering("--seeds 1..12", { interrupted: stop.signal, threads })
    assert.strictEqual(code, 130)
    assert.include(stderr, "3 seeds of 12 (interrupted), 0 failed")
  })

  it("has colours on a terminal, unless it is asked for none", async () => {
    const escape = "\u001b["
    assert.include((await rendering("--seed 1", { isTerminal: true })).stdout, escape)
    assert.notInclude((await rendering("--seed 1", { isTerminal: true, noColour: true })).stdout, escape)
    assert.notInclude((await rendering("--seed 1")).stdout, escape)
  })

  it("says what is wrong with its options", async () => {
    const { code, stderr, stdout } = await rendering("--seeds 3")
    assert.deepStrictEqual({ code, stdout }, { code: 2, stdout: "" })
    assert.include(stderr, "--seeds must be like 1..500, got \"3\"")
    const help = await rendering("--help")
    assert.strictEqual(help.code, 0)
    assert.include(help.stdout, "--keep-going")
  })

  it("tells how far it is", () => {
    const totals = withResult(withResult(noTotals, trySeed(runner, 1, undefined)), trySeed(runner, 13, undefined))
    const line = (limit: number | undefined) => progressLine(totals, { planned: 2000, elapsed: 1000, limit })
    assert.strictEqual(
      line(undefined),
      "2/2,000 seeds  2.0 seeds/s  20 records  16 faults  1 failed  16 min 39 s left"
    )
    assert.include(line(3000), "2.0 s left")
    assert.notInclude(progressLine(noTotals, { planned: 1, elapsed: 0, limit: undefined }), "left")
  })
})

describe("a thread", () => {
  const job = (seed: number) => ({ _tag: "Try", seed, text: undefined }) as const

  it("does one job after the other", async () => {
    const thread = makeThread(fakeRunner, 10_000)
    const progress: Array<number> = []
    const first = await thread.run(job(1))
    const second = await thread.run(
      { _tag: "Explain", seed: 13, invariant: "no-loss", options: { shrinkRuns: 100, text: plain } },
      ({ runs }) => progress.push(runs)
    )
    await thread.stop()
    assert.deepStrictEqual(first, { _tag: "Done", result: trySeed(runner, 1, undefined) })
    if (second._tag !== "Done") return assert.fail(second._tag)
    assert.deepStrictEqual(
      second.result,
      explainSeed(runner, 13, "no-loss", { shrinkRuns: 100, text: plain })
    )
    assert.deepStrictEqual(progress, upTo(second.result.shrunk!.runs))
  })

  it("that says nothing for too long is broken, and another does the next job", async () => {
    const thread = makeThread(fakeRunner, 4000)
    const late = await thread.run(job(42))
    const next = await thread.run(job(2))
    await thread.stop()
    assert.deepStrictEqual(late, { _tag: "Broken", stack: "It has said nothing for 4 s, and was ended." })
    assert.strictEqual(next._tag, "Done")
  })

  it("can be stopped in the middle", async () => {
    const thread = makeThread(fakeRunner, 10_000)
    const running = thread.run(job(42))
    await thread.stop()
    assert.deepStrictEqual(await running, { _tag: "Stopped" })
  })

  it("that cannot load what it is to run says so", async () => {
    const thread = makeThread(
      { plan: "data:text/javascript,throw new Error('no such plan')", run: fakeRunner.run },
      10_000
    )
    const ended = await thread.run(job(1))
    await thread.stop()
    if (ended._tag !== "Broken") return assert.fail(ended._tag)
    assert.include(ended.stack, "no such plan")
  })
})

describe("the process", () => {
  const main = fileURLToPath(new URL("./support/fakeMain.ts", import.meta.url))

  const start = (cwd: string, ...args: ReadonlyArray<string>) => {
    const child = spawn(process.execPath, [main, ...args], { cwd, stdio: ["ignore", "pipe", "pipe"] })
    const written = { stdout: "", stderr: "" }
    child.stdout.setEncoding("utf8").on("data", (text) => written.stdout += text)
    child.stderr.setEncoding("utf8").on("data", (text) => written.stderr += text)
    const ended = new Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }>(
      (resolve) => child.on("close", (code) => resolve({ code, ...written }))
    )
    return { child, ended }
  }

  const inDirectory = async <A>(use: (directory: string) => Promise<A>): Promise<A> => {
    const directory = mkdtempSync(join(tmpdir(), "simulate-"))
    try {
      return await use(directory)
    } finally {
      rmSync(directory, { recursive: true })
    }
  }

  it("writes the same timeline as another, byte for byte, with however many workers", () =>
    inDirectory(async (directory) => {
      const args = ["--seeds", "10..20", "--timeline", "--verbose"]
      const one = await start(directory, ...args, "--workers", "1").ended
      const page = readFileSync(join(directory, ".cache", "simulation", "seed-13.html"), "utf8")
      const other = await start(directory, ...args, "--workers", "3").ended
      assert.strictEqual(one.code, 1)
      assert.include(one.stdout, "seed 13: 1 violation")
      assert.strictEqual(one.stdout, other.stdout)
      assert.strictEqual(readFileSync(join(directory, ".cache", "simulation", "seed-13.html"), "utf8"), page)
    }))

  it("ends with a summary when it is interrupted", () =>
    inDirectory(async (directory) => {
      const { child, ended } = start(directory, "--fresh", "1000000")
      child.stderr.once("data", () => child.kill("SIGINT"))
      const { code, stderr } = await ended
      assert.strictEqual(code, 130)
      assert.match(stderr, /seeds? of 1,000,000 \(interrupted\), 0 failed/)
    }))
})
