import { globSync, readFileSync } from "node:fs"
import { basename, join } from "node:path"

/** The root of the workspace. */
export const root = join(import.meta.dirname, "..", "..", "..", "..")

/** Where the patches are, from the root. */
export const patchDirectory = "packages/testing/mutants"

/** A test that needs no broker, or several: "…" in a title stands for anything. */
export interface NamedTest {
  /** From the root. */
  readonly file: string
  /** With the suites that it is in: `suite > title`. */
  readonly title: string
}

/** A fault that is put into the client on purpose, as a patch. */
export interface Mutant {
  readonly name: string
  /** What is wrong then, in a sentence. */
  readonly fault: string
  /**
   * The invariants that it breaks in the simulation, the one that says most first: what catches it there must be one of
   * them. None if the simulation cannot see it.
   */
  readonly breaks: ReadonlyArray<string>
  /** Those that it breaks of `docs/internals.md`. */
  readonly numbers: ReadonlyArray<number>
  /** The tests that it fails, each of them. */
  readonly tests: ReadonlyArray<NamedTest>
  /** The files that the patch changes, from the root. */
  readonly files: ReadonlyArray<string>
  /** The patch's file. */
  readonly patch: string
}

const oneLine = (text: string): string => text.replaceAll(/\s+/g, " ").trim()

const header = `it must begin with "# " and its fault, and then "# Breaks: " and invariants, ` +
  `or "# Test: " and a file and a title in quotes, or both`

/**
 * Reads a patch, whose first lines are comments: the fault; `# Breaks: ` with invariants, separated by commas, by their
 * names if the simulation is to catch it, by their numbers in `docs/internals.md` otherwise; and a `# Test: ` for each
 * test that is to catch it. Throws where neither the simulation nor a test is to.
 */
export const parseMutant = (patch: string, text: string): Mutant => {
  const name = basename(patch, ".patch")
  const [, comments = ""] = /^((?:# .*\n)+)--- a\//.exec(text) ?? []
  const [fault = "", ...fields] = comments.replaceAll(/^# /gm, "").split(/^(?=(?:Breaks|Test): )/m).map(oneLine)
  const valuesOf = (key: string): ReadonlyArray<string> =>
    fields.filter((field) => field.startsWith(`${key}: `)).map((field) => field.slice(key.length + 2))
  const invariants = valuesOf("Breaks").flatMap((value) => value.split(",").map((invariant) => invariant.trim()))
  const tests = valuesOf("Test").map((value): NamedTest => {
    const [, file, title] = /^(\S+\.test\.ts) "(.+)"$/.exec(value) ?? []
    if (file === undefined || title === undefined) throw new Error(`${patch}: ${header}`)
    return { file, title }
  })
  const breaks = invariants.filter((invariant) => !/^\d+$/.test(invariant))
  if (fault === "" || fields.length === 0 || breaks.length + tests.length === 0) throw new Error(`${patch}: ${header}`)
  return {
    name,
    fault,
    breaks,
    numbers: invariants.filter((invariant) => /^\d+$/.test(invariant)).map(Number),
    tests,
    files: Array.from(text.matchAll(/^\+\+\+ b\/(.+)$/gm), ([, file]) => file!),
    patch
  }
}

/** All mutants, by name. */
export const readMutants = (): ReadonlyArray<Mutant> =>
  globSync(join(root, patchDirectory, "*.patch")).sort().map((patch) => parseMutant(patch, readFileSync(patch, "utf8")))
