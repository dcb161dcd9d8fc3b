/**
 * Runs every check of the repository, one after the other, whatever fails on the way; `pnpm test` calls it.
 *
 * The counts of all steps go to `.cache/results.json` as `{ passed, failed, skipped }`. The exit code is 0 if nothing
 * failed and tests ran.
 */
import { spawn, spawnSync } from "node:child_process"
import { existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { basename, join, relative, sep } from "node:path"

import { javaMissing } from "./support/jars.ts"

const root = join(import.meta.dirname, "..")
const cache = join(root, ".cache")
const inCi = process.env["CI"] !== undefined && process.env["CI"] !== "" && process.env["CI"] !== "false"

const nodeMajor = Number(process.versions.node.split(".")[0])
if (nodeMajor < 24) {
  console.error(
    `The tests run on Node 24, and this is Node ${process.versions.node}: run them with \`pnpm test\`, which brings it.`
  )
  process.exit(1)
}

interface Counts {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

const none: Counts = { passed: 0, failed: 0, skipped: 0 }
const onePassed: Counts = { ...none, passed: 1 }
const oneFailed: Counts = { ...none, failed: 1 }

const sum = (all: ReadonlyArray<Counts>): Counts =>
  all.reduce((total, { failed, passed, skipped }) => ({
    passed: total.passed + passed,
    failed: total.failed + failed,
    skipped: total.skipped + skipped
  }), none)

const inWords = ({ failed, passed, skipped }: Counts): string =>
  `${passed} passed, ${failed} failed, ${skipped} skipped`

const seconds = (since: number): string => `${((performance.now() - since) / 1_000).toFixed(1)} s`

const minute = 60_000

/** Runs a program to its end, or kills it after `timeout` milliseconds; the code is -1 then. */
const run = (
  program: string,
  args: ReadonlyArray<string>,
  options: { readonly timeout: number; readonly output: "shown" | "kept" }
): Promise<{ readonly code: number; readonly output: string }> =>
  new Promise((resolve) => {
    const child = spawn(program, args, {
      cwd: root,
      stdio: options.output === "shown" ? "inherit" : ["ignore", "pipe", "pipe"]
    })
    let output = ""
    const keep = (text: string) => {
      output += text
    }
    child.stdout?.setEncoding("utf8").on("data", keep)
    child.stderr?.setEncoding("utf8").on("data", keep)
    let timedOut = false
    const timer = setTimeout(() => {
      timedOut = true
      const message = `${basename(program)} ${args.join(" ")} took over ${options.timeout / minute} minutes: killed`
      if (options.output === "shown") console.error(message)
      else keep(`\n${message}\n`)
      child.kill("SIGTERM")
      setTimeout(() => child.kill("SIGKILL"), 10_000).unref()
    }, options.timeout)
    child.once("error", (error) => keep(String(error)))
    child.once("close", (code) => {
      clearTimeout(timer)
      resolve({ code: timedOut ? -1 : code ?? -1, output })
    })
  })

/** The file that a package of `node_modules` runs as that command. */
const command = (packageName: string, name: string = packageName): string => {
  const directory = join(root, "node_modules", packageName)
  const { bin } = JSON.parse(readFileSync(join(directory, "package.json"), "utf8")) as {
    readonly bin: string | Record<string, string>
  }
  return join(directory, typeof bin === "string" ? bin : bin[name]!)
}

const nodeFiles = (pattern: string): ReadonlyArray<string> =>
  globSync(pattern, { cwd: root }).filter((file) => !file.split(sep).includes("node_modules")).sort()

const typeCheck = async (): Promise<Counts> => {
  const { code } = await run(process.execPath, [command("typescript", "tsc"), "-b"], {
    timeout: 10 * minute,
    output: "shown"
  })
  return code === 0 ? onePassed : oneFailed
}

const lint = async (): Promise<Counts> => {
  const { code } = await run(process.execPath, [command("eslint"), "."], { timeout: 10 * minute, output: "shown" })
  return code === 0 ? onePassed : oneFailed
}

/** What vitest's JSON reporter writes, as far as it is read here. */
interface VitestReport {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numPendingTests: number
  readonly numTodoTests: number
  readonly testResults: ReadonlyArray<{
    readonly name: string
    readonly status: "passed" | "failed"
    readonly assertionResults: ReadonlyArray<unknown>
  }>
}

const vitest = async (project: string, timeout: number): Promise<Counts> => {
  const file = join(cache, `vitest-${project}.json`)
  rmSync(file, { force: true })
  const { code } = await run(process.execPath, [
    command("vitest"),
    "run",
    "--project",
    project,
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${file}`
  ], { timeout, output: "shown" })
  if (!existsSync(file)) return oneFailed
  const report = JSON.parse(readFileSync(file, "utf8")) as VitestReport
  // A file that cannot be loaded has no tests: it counts as one that failed.
  const broken = report.testResults.filter((each) => each.status === "failed" && each.assertionResults.length === 0)
  const failed = report.numFailedTests + broken.length
  return {
    passed: report.numPassedTests,
    // Vitest also fails for errors outside of tests, and when there are no tests.
    failed: code !== 0 && failed === 0 ? 1 : failed,
    skipped: report.numPendingTests + report.numTodoTests
  }
}

const unitTests = (): Promise<Counts> => vitest("unit", 15 * minute)

const kafkaTests = async (): Promise<Counts> => {
  const missing = process.env["KAFKA_BROKERS"] ? undefined : javaMissing()
  if (missing === undefined) return vitest("kafka", 25 * minute)
  const files = nodeFiles("test/*.test.ts").length
  console.log(`${missing}: ${files} test files ${inCi ? "cannot run" : "are skipped"}.`)
  return inCi ? { ...none, failed: files } : { ...none, skipped: files }
}

/** Three brokers that are killed, frozen and cut off. Takes minutes: only in CI. */
const faults = async (): Promise<Counts> => {
  if (!inCi) {
    console.log("What the client does when brokers fail is tried in CI, and by `pnpm faults`: not run.")
    return none
  }
  const missing = javaMissing()
  if (missing === undefined) return vitest("faults", 20 * minute)
  const files = nodeFiles("test/faults/*.test.ts").length
  console.log(`${missing}: ${files} test files cannot run.`)
  return { ...none, failed: files }
}

/**
 * Seeds of the simulation: the same ones each time, then some that nobody has tried, until the time is up. A seed that
 * fails is told of at once, with the command that runs it again.
 */
const simulation = async (): Promise<Counts> => {
  const main = join(root, "packages", "testing", "src", "internal", "simulation", "cli", "main.ts")
  const file = join(cache, "simulation.json")
  rmSync(file, { force: true })
  const always = 40
  const choice = ["--seeds", `1..${always}`, "--fresh", "60", "--minutes", "1.75", "--keep-going"]
  // Looking into failures takes its time.
  const { code } = await run(process.execPath, ["--no-warnings", main, ...choice, "--json", file], {
    timeout: 15 * minute,
    output: "shown"
  })
  if (!existsSync(file)) return oneFailed
  const { failed, passed } = JSON.parse(readFileSync(file, "utf8")) as Pick<Counts, "passed" | "failed">
  const skipped = Math.max(0, always - passed - failed)
  if (skipped > 0) console.log(`This machine is too slow for the ${always} seeds that are always run.`)
  return { passed, failed: code !== 0 && failed === 0 ? 1 : failed, skipped }
}

/** Every program of `examples/` ends by itself, successfully, and has said something. */
const examples = async (): Promise<Counts> => {
  const results: Array<Counts> = []
  for (const file of nodeFiles("examples/*.ts")) {
    const start = performance.now()
    const { code, output } = await run(process.execPath, [file], { timeout: minute, output: "kept" })
    const failure = code !== 0
      ? (code === -1 ? "was killed" : `ended with ${code}`)
      : output.trim() === ""
      ? "printed nothing"
      : undefined
    results.push(failure === undefined ? onePassed : oneFailed)
    console.log(`${failure === undefined ? "✓" : "×"} ${file} ${failure ?? ""} (${seconds(start)})`)
    if (failure !== undefined) console.log(output.split("\n").slice(-60).join("\n"))
  }
  return sum(results)
}

/** Runs a script that ends its output with a line such as `{"passed":3,"failed":0}`, and takes these counts. */
const counted = async (node: string, script: string, timeout: number): Promise<Counts> => {
  const { code, output } = await run(node, [script], { timeout, output: "kept" })
  const lines = output.trimEnd().split("\n")
  const last = lines.at(-1) ?? ""
  let counts: Counts = none
  if (/^\{.*\}$/.test(last)) {
    counts = { ...none, ...JSON.parse(last) as Partial<Counts> }
    lines.pop()
  }
  if (lines.length > 0) console.log(lines.join("\n"))
  return code !== 0 && counts.failed === 0 ? sum([counts, oneFailed]) : counts
}

const docs = (): Promise<Counts> => counted(process.execPath, join(root, "test", "docs.ts"), 5 * minute)

/**
 * Some of the benchmarks, once and briefly: records through a real broker and back, counted and in order, beside kafkajs.
 * It shows that they run, and how fast at about; `pnpm bench` measures.
 */
const benchmark = async (): Promise<Counts> => {
  const missing = process.env["KAFKA_BROKERS"] ? undefined : javaMissing()
  if (missing !== undefined) {
    console.log(`${missing}: the benchmark ${inCi ? "cannot run" : "is skipped"}.`)
    return inCi ? oneFailed : { ...none, skipped: 1 }
  }
  const main = join(root, "packages", "bench", "src", "main.ts")
  const cases = "sendAll,pipe,send-1,records,run,run-key,end-to-end,idle"
  const choice = ["--cases", cases, "--clients", "sluice,kafkajs,java"]
  const size = ["--records", "300000", "--read", "300000", "--seconds", "1", "--idle-seconds", "1"]
  const out = ["--out", join(cache, "bench-brief")]
  const brokers = process.env["KAFKA_BROKERS"] ? ["--brokers", process.env["KAFKA_BROKERS"]] : []
  const { code } = await run(process.execPath, [
    "--no-warnings",
    main,
    "--rounds",
    "1",
    "--no-warm-up",
    ...choice,
    ...size,
    ...out,
    ...brokers
  ], {
    timeout: 10 * minute,
    output: "shown"
  })
  return code === 0 ? onePassed : oneFailed
}

/** Each deliberate fault in `packages/testing/mutants` is caught by what it names: the simulation, or tests. Takes minutes: only in CI. */
const mutants = async (): Promise<Counts> => {
  if (!inCi) {
    console.log("Whether the simulation and the tests catch deliberate faults is tried in CI, and by `pnpm mutants`.")
    return none
  }
  const main = join(root, "packages", "testing", "test", "mutants", "main.ts")
  const { code } = await run(process.execPath, ["--no-warnings", main], {
    timeout: 30 * minute,
    output: "shown"
  })
  return code === 0 ? onePassed : oneFailed
}

/** The version of a Node executable, or `undefined` if it does not run. */
const versionOf = (node: string): string | undefined => {
  const answer = spawnSync(node, ["-p", "process.versions.node"], { encoding: "utf8" })
  return answer.status === 0 ? answer.stdout.trim() : undefined
}

/** The built packages load on the oldest Node at hand: the one that pnpm runs on. */
const oldestNode = async (): Promise<Counts> => {
  const node = process.env["npm_node_execpath"]
  const version = node === undefined ? undefined : versionOf(node)
  const major = Number(version?.split(".")[0])
  if (node === undefined || version === undefined || major < 20 || major >= 24) {
    console.log("pnpm does not run on a Node from 20 to 23 here: the built packages are not tried on an older one.")
    return { ...none, skipped: 1 }
  }
  console.log(`Node ${version}`)
  return counted(node, join(root, "test", "support", "node20.mjs"), 2 * minute)
}

const steps: ReadonlyArray<readonly [name: string, step: () => Promise<Counts>]> = [
  ["types", typeCheck],
  ["lint", lint],
  ["unit tests", unitTests],
  ["simulation", simulation],
  ["mutants", mutants],
  ["tests on Apache Kafka", kafkaTests],
  ["faults on three brokers", faults],
  ["benchmark", benchmark],
  ["examples", examples],
  ...(existsSync(join(root, "test", "docs.ts")) ? [["docs", docs] as const] : []),
  ["oldest Node", oldestNode]
]

mkdirSync(cache, { recursive: true })
const resultsFile = join(cache, "results.json")
rmSync(resultsFile, { force: true })

const start = performance.now()
const results: Array<readonly [name: string, counts: Counts, time: string]> = []
for (const [index, [name, step]] of steps.entries()) {
  console.log(`\n== ${index + 1}/${steps.length} ${name} ==\n`)
  const stepStart = performance.now()
  const counts = await step().catch((error: unknown) => {
    console.error(error)
    return oneFailed
  })
  results.push([name, counts, seconds(stepStart)])
  console.log(`\n${name}: ${inWords(counts)} (${seconds(stepStart)})`)
}

const total = sum(results.map(([, counts]) => counts))
const tests = sum(results.filter(([name]) => name !== "types" && name !== "lint").map(([, counts]) => counts))
writeFileSync(resultsFile, `${JSON.stringify(total)}\n`)

console.log("\n== summary ==\n")
for (const [name, counts, time] of results) {
  console.log(`${counts.failed === 0 ? "✓" : "×"} ${name.padEnd(24)} ${inWords(counts).padEnd(36)} ${time}`)
}
if (tests.passed + tests.failed === 0) console.log("No test ran.")
console.log(`\n${inWords(total)} in ${seconds(start)}; counts in ${relative(root, resultsFile)}`)
process.exitCode = total.failed === 0 && tests.passed > 0 ? 0 : 1
