import { globSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { assert, describe, it } from "@effect/vitest"

import { checkers } from "../src/internal/simulation/checkers/index.ts"
import { parseMutant, patchDirectory, readMutants, root } from "./mutants/mutant.ts"
import { applyMutant, copySources } from "./mutants/sources.ts"

const mutants = readMutants()

const readAll = (directory: string): ReadonlyMap<string, string> =>
  new Map(
    globSync("packages/{kafka,testing}/{package.json,src/**/*.ts}", { cwd: directory }).map((file) => [
      file,
      readFileSync(join(directory, file), "utf8")
    ])
  )

const inCopy = <A>(use: (copy: string) => A): A => {
  const copy = mkdtempSync(join(tmpdir(), "sluice-mutants-test-"))
  try {
    copySources(copy)
    return use(copy)
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

describe("mutants", () => {
  it("there are at least ten", () => {
    assert.isAtLeast(mutants.length, 10)
  })

  it.each(mutants.map((mutant) => [mutant.name, mutant] as const))(
    "%s applies, and changes what it names",
    (_, mutant) =>
      inCopy((copy) => {
        const before = readAll(copy)
        assert.isUndefined(applyMutant(copy, mutant))
        const after = readAll(copy)
        const changed = [...after.keys()].filter((file) => after.get(file) !== before.get(file))
        assert.deepStrictEqual(changed.sort(), [...mutant.files].sort())
        assert.strictEqual(after.size, before.size)
        for (const file of changed) assert.match(file, /^packages\/kafka\/src\//)
      })
  )

  it("a patch that does not fit is refused", () => {
    const patch = join(tmpdir(), `sluice-mutants-test-${process.pid}.patch`)
    assert.isString(inCopy((copy) => applyMutant(copy, { ...mutants[0]!, patch })))
  })

  it("the copy loads its own client", () =>
    inCopy((copy) => {
      const [client] = globSync("packages/testing/node_modules/@sluice/kafka/src/index.ts", { cwd: copy })
      assert.isDefined(client)
    }))

  it("a patch says what is wrong and what it breaks", () => {
    const body = "--- a/x\n+++ b/packages/kafka/src/x.ts\n"
    assert.deepInclude(parseMutant("a/some-name.patch", `# One\n# and two.\n# Breaks: a, b\n${body}`), {
      name: "some-name",
      fault: "One and two.",
      breaks: ["a", "b"],
      files: ["packages/kafka/src/x.ts"]
    })
    assert.throws(() => parseMutant("some-name.patch", `# One\n${body}`), "Breaks")
    assert.throws(() => parseMutant("some-name.patch", body), "Breaks")
  })

  it("what they break is checked", () => {
    const names = new Set(checkers.map(({ name }) => name))
    for (const { breaks, name } of mutants) {
      for (const invariant of breaks) assert.isTrue(names.has(invariant), `${name}: ${invariant}`)
    }
  })

  it("the documentation lists them all", () => {
    const page = readFileSync(join(root, "docs", "simulation.md"), "utf8")
    const listed = Array.from(page.matchAll(/\]\(\.\.\/([^)]+)\.patch\)/g), ([, path]) => path!)
    assert.deepStrictEqual(listed.sort(), mutants.map(({ name }) => `${patchDirectory}/${name}`))
  })
})
