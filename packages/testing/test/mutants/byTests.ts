import { existsSync, readFileSync } from "node:fs"
import { join, relative } from "node:path"

import type { Mutant, NamedTest } from "./mutant.ts"
import { runNode } from "./process.ts"
import { applyMutant, withCopy } from "./sources.ts"
import type { Verdict } from "./trial.ts"

/** What vitest's JSON reporter writes, as far as it matters here. */
export interface TestReport {
  readonly testResults: ReadonlyArray<{
    readonly name: string
    /** Why the file could not be loaded. */
    readonly message: string
    readonly assertionResults: ReadonlyArray<{
      readonly fullName: string
      readonly status: string
      readonly failureMessages: ReadonlyArray<string>
    }>
  }>
}

/** What became of a test that is named. */
export type TestResult =
  | { readonly _tag: "Passed" }
  | { readonly _tag: "Failed"; readonly message: string }
  /** There is none of that name, or it did not come to its end. */
  | { readonly _tag: "NotRun"; readonly why: string }

/** The full name that vitest gives such a test. */
const pattern = (title: string): string =>
  `^${title.split(" > ").join(" ").replaceAll(/[\\^$.*+?()[\]{}|/]/g, "\\$&").replaceAll("…", ".+")}$`

/** Of a failure its message, without the stack; a test that ran into its timeout has none. */
const inShort = ([message = ""]: ReadonlyArray<string>): string => {
  const [text = ""] = message.split("\n    at ")
  return text === "Error: STACK_TRACE_ERROR" ? "it does not end" : text.slice(0, 300)
}

/** What became of the tests that are named so, by what vitest says of all in `copy`. */
export const resultIn = (report: TestReport, copy: string, { file, title }: NamedTest): TestResult => {
  const inFile = report.testResults.find(({ name }) => relative(copy, name) === file)
  if (inFile === undefined) return { _tag: "NotRun", why: "there is no such file" }
  const fullName = new RegExp(pattern(title))
  const named = inFile.assertionResults.filter((each) => fullName.test(each.fullName.trim()))
  const failed = named.find(({ status }) => status === "failed")
  if (failed !== undefined) return { _tag: "Failed", message: inShort(failed.failureMessages) }
  if (named.length > 0 && named.every(({ status }) => status === "passed")) return { _tag: "Passed" }
  return { _tag: "NotRun", why: inFile.message === "" ? "there is no such test" : inFile.message }
}

/** Runs tests of a copy, and no others. */
const runTests = async (
  copy: string,
  tests: ReadonlyArray<NamedTest>,
  minutes: number
): Promise<ReadonlyArray<TestResult>> => {
  const json = join(copy, "report.json")
  const said = await runNode([
    join(copy, "node_modules", "vitest", "vitest.mjs"),
    "run",
    ...["--root", copy, "--config", join("packages", "testing", "test", "mutants", "vitest.config.ts")],
    ...["--reporter", "json", "--outputFile", json],
    ...["--testNamePattern", Array.from(new Set(tests.map(({ title }) => pattern(title)))).join("|")],
    ...new Set(tests.map(({ file }) => file))
  ], { directory: copy, timeout: minutes * 60_000, onLine: () => true })
  if (!existsSync(json)) return tests.map(() => ({ _tag: "NotRun", why: `vitest ${said}` }))
  const report = JSON.parse(readFileSync(json, "utf8")) as TestReport
  return tests.map((test) => resultIn(report, copy, test))
}

/** Runs tests of the sources as they are. */
export const tryTests = (tests: ReadonlyArray<NamedTest>, minutes: number): Promise<ReadonlyArray<TestResult>> =>
  withCopy((copy) => runTests(copy, tests, minutes))

/** Runs the tests that a mutant names with it in the sources: each of them must fail. */
export const tryMutantTests = (mutant: Mutant, minutes: number): Promise<Verdict> =>
  withCopy(async (copy): Promise<Verdict> => {
    const problem = applyMutant(copy, mutant)
    if (problem !== undefined) return { _tag: "Broken", why: `the patch does not apply: ${problem}` }
    const results = await runTests(copy, mutant.tests, minutes)
    const messages: Array<string> = []
    for (const [index, result] of results.entries()) {
      const { title } = mutant.tests[index]!
      if (result._tag === "NotRun") return { _tag: "Broken", why: `“${title}”: ${result.why}` }
      if (result._tag === "Passed") return { _tag: "NotCaught", why: `“${title}” passes` }
      messages.push(result.message)
    }
    return {
      _tag: "Caught",
      by: mutant.tests.map(({ title }) => `“${title}”`).join(", "),
      message: messages.join("\n")
    }
  })
