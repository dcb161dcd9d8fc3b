import { globSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { assert, describe, it } from "@effect/vitest"

import { checkers } from "../src/internal/simulation/checkers/index.ts"
import { resultIn } from "./mutants/byTests.ts"
import { makeCompiler } from "./mutants/compiler.ts"
import { parseMutant, patchDirectory, readMutants, root } from "./mutants/mutant.ts"
import { patchedFiles, withCopy } from "./mutants/sources.ts"
import { withTables } from "./mutants/table.ts"

const mutants = readMutants()

describe("mutants", () => {
  it("there are at least ten", () => {
    assert.isAtLeast(mutants.length, 10)
  })

  it.each(mutants.map((mutant) => [mutant.name, mutant] as const))("%s applies to the client", (_, mutant) => {
    const patched = patchedFiles(mutant)
    if (typeof patched === "string") return assert.fail(patched)
    assert.isNotEmpty(mutant.files)
    for (const file of mutant.files) {
      assert.match(file, /^packages\/kafka(js)?\/src\//)
      assert.notStrictEqual(patched.get(join(root, file)), readFileSync(join(root, file), "utf8"), file)
    }
  })

  it("a patch that does not fit is refused", () => {
    const patch = join(tmpdir(), `sluice-mutants-test-${process.pid}.patch`)
    assert.isString(patchedFiles({ ...mutants[0]!, patch }))
  })

  it("a copy of the sources loads its own client", () =>
    withCopy((copy) => {
      for (const name of ["kafka", "kafkajs", "testing"]) {
        for (const link of globSync("packages/*/node_modules/@sluice/*", { cwd: copy })) {
          assert.isTrue(realpathSync(join(copy, link)).startsWith(realpathSync(copy)), link)
        }
        assert.isNotEmpty(globSync(`packages/${name}/test/**/*.test.ts`, { cwd: copy }))
      }
    }))

  it("a patch says what is wrong, what it breaks, and what is to catch it", () => {
    const body = "--- a/x\n+++ b/packages/kafka/src/x.ts\n"
    const header =
      "# One\n# and two.\n# Breaks: a, 7,\n# b\n# Test: c/d.test.ts \"e >\n# \"f\" … g\"\n# Test: h.test.ts \"i\"\n"
    assert.deepStrictEqual(parseMutant("a/some-name.patch", header + body), {
      name: "some-name",
      fault: "One and two.",
      breaks: ["a", "b"],
      numbers: [7],
      tests: [{ file: "c/d.test.ts", title: "e > \"f\" … g" }, { file: "h.test.ts", title: "i" }],
      files: ["packages/kafka/src/x.ts"],
      patch: "a/some-name.patch"
    })
    assert.deepInclude(parseMutant("x.patch", `# One\n# Breaks: a\n${body}`), { breaks: ["a"], tests: [] })
    assert.deepInclude(parseMutant("x.patch", `# One\n# Test: h.test.ts "i"\n${body}`), { breaks: [], numbers: [] })
    for (
      const wrong of [
        "",
        "# One\n",
        "# Breaks: a\n",
        "# One\n# Breaks: 7\n",
        "# One\n# Test: h.ts \"i\"\n",
        "# One\n# Test: h.test.ts\n"
      ]
    ) assert.throws(() => parseMutant("some-name.patch", wrong + body), "it must begin with", wrong)
  })

  it("what they break is checked", () => {
    const names = new Set(checkers.map(({ name }) => name))
    for (const { breaks, name } of mutants) {
      for (const invariant of breaks) assert.isTrue(names.has(invariant), `${name}: ${invariant}`)
    }
    const page = readFileSync(join(root, "docs", "internals.md"), "utf8")
    for (const { name, numbers } of mutants) {
      for (const number of numbers) assert.include(page, `\n| ${number} | `, `${name}: ${number}`)
    }
  })

  describe("a test that is named", () => {
    const test = (fullName: string, status: string, message?: string) => ({
      fullName,
      status,
      failureMessages: message === undefined ? [] : [message]
    })
    const report = {
      testResults: [
        {
          name: "/copy/a.test.ts",
          message: "",
          assertionResults: [
            test("suite one (1 + 1)", "passed"),
            test("suite one (1 + 1) more", "failed", "Error: not this one"),
            test("suite two 1", "passed"),
            test("suite two 2", "failed", "AssertionError: 1\n    at somewhere"),
            test("suite three", "failed", "Error: STACK_TRACE_ERROR\n    at somewhere"),
            test("suite four", "skipped")
          ]
        },
        { name: "/copy/b.test.ts", message: "Cannot find module", assertionResults: [] }
      ]
    }
    it.each([
      ["a.test.ts", "suite > one (1 + 1)", { _tag: "Passed" }],
      ["a.test.ts", "suite > two 2", { _tag: "Failed", message: "AssertionError: 1" }],
      ["a.test.ts", "suite > two …", { _tag: "Failed", message: "AssertionError: 1" }],
      ["a.test.ts", "suite > three", { _tag: "Failed", message: "it does not end" }],
      ["a.test.ts", "suite > four", { _tag: "NotRun", why: "there is no such test" }],
      ["a.test.ts", "suite > on", { _tag: "NotRun", why: "there is no such test" }],
      ["b.test.ts", "suite > one (1 + 1)", { _tag: "NotRun", why: "Cannot find module" }],
      ["c.test.ts", "suite > one (1 + 1)", { _tag: "NotRun", why: "there is no such file" }]
    ])(
      "%s “%s”",
      (file, title, result) => assert.deepStrictEqual<unknown>(resultIn(report, "/copy", { file, title }), result)
    )
  })

  it("what does not compile is told", () => {
    const patch = join(tmpdir(), `sluice-mutants-test-${process.pid}.patch`)
    const file = "packages/kafka/src/internal/time.ts"
    const lines = readFileSync(join(root, file), "utf8").split("\n")
    const context = lines.slice(0, 3).map((line) => ` ${line}`)
    const changed = (line: string) =>
      ["# One.", `--- a/${file}`, `+++ b/${file}`, "@@ -1,3 +1,4 @@", `+${line}`, ...context, ""].join("\n")
    const compiler = makeCompiler()
    const problemOf = (line: string) => {
      writeFileSync(patch, changed(line))
      try {
        return compiler({ ...mutants[0]!, files: [file], patch })
      } finally {
        rmSync(patch)
      }
    }
    assert.isUndefined(problemOf("const unused: number = 1"))
    assert.match(problemOf("void gone")!, /does not compile: Cannot find name 'gone'/)
    assert.match(problemOf("const = 1")!, /does not compile/)
    assert.isUndefined(problemOf("const again = 1"))
  }, 60_000)

  it("the tables say what caught them", () => {
    const [mutant] = mutants
    const tested = { ...mutant!, tests: [{ file: "a/b.test.ts", title: "c | d" }] }
    const caught = { _tag: "Caught", by: "order", message: "", seed: 7 } as const
    const page =
      `before\n<!-- mutants: begin; written by \`pnpm mutants --write\` -->\nold\n<!-- mutants: end -->\nafter\n`
    const written = withTables(page, [
      { mutant: mutant!, by: "simulation", verdict: caught, elapsed: 0 },
      { mutant: tested, by: "tests", verdict: { _tag: "Caught", by: "", message: "" }, elapsed: 0 },
      { mutant: tested, by: "tests", verdict: { _tag: "NotCaught", why: "" }, elapsed: 0 }
    ])
    const rows = written.split("\n").filter((line) => line.startsWith("| [")).map((line) => line.split(" | ").slice(2))
    assert.deepStrictEqual(rows, [
      ["order", "7 |"],
      ["“c \\| d” in [`b.test.ts`](../a/b.test.ts) |"],
      ["nothing |"]
    ])
    assert.match(written, /^before\n<!-- mutants: begin[^]*<!-- mutants: end -->\nafter\n$/)
    assert.notInclude(written, "old")
    assert.throws(() => withTables("no markers", []), "the page must have the lines")
  })

  it("the documentation lists them all", () => {
    const page = readFileSync(join(root, "docs", "simulation.md"), "utf8")
    const listed = Array.from(page.matchAll(/\]\(\.\.\/([^)]+)\.patch\)/g), ([, path]) => path!)
    assert.deepStrictEqual([...new Set(listed)].sort(), mutants.map(({ name }) => `${patchDirectory}/${name}`))
  })
})
