import { globSync, readFileSync } from "node:fs"
import { basename, join } from "node:path"

/** The root of the workspace. */
export const root = join(import.meta.dirname, "..", "..", "..", "..")

/** Where the patches are, from the root. */
export const patchDirectory = "packages/testing/mutants"

/** A fault that is put into the client on purpose, as a patch. */
export interface Mutant {
  readonly name: string
  /** What is wrong then, in a sentence. */
  readonly fault: string
  /** The invariants that it breaks, the one that says most first: what catches it must be one of them. */
  readonly breaks: ReadonlyArray<string>
  /** The files that the patch changes, from the root. */
  readonly files: ReadonlyArray<string>
  /** The patch's file. */
  readonly patch: string
}

/**
 * Reads a patch, whose first lines are comments: the fault, and then `# Breaks: ` with invariants, separated by commas.
 * Throws where they are missing.
 */
export const parseMutant = (patch: string, text: string): Mutant => {
  const name = basename(patch, ".patch")
  const [, comments] = /^((?:# .*\n)+)--- a\//.exec(text) ?? []
  const [, fault, breaks] = /^([\s\S]+?)\nBreaks: ([\s\S]+)\n$/.exec(comments?.replaceAll(/^# /gm, "") ?? "") ?? []
  if (fault === undefined || breaks === undefined) {
    throw new Error(`${patch}: it must begin with "# " and its fault, and then "# Breaks: " and invariants`)
  }
  return {
    name,
    fault: fault.replaceAll("\n", " "),
    breaks: breaks.split(",").map((invariant) => invariant.replaceAll(/\s+/g, " ").trim()),
    files: Array.from(text.matchAll(/^\+\+\+ b\/(.+)$/gm), ([, file]) => file!),
    patch
  }
}

/** All mutants, by name. */
export const readMutants = (): ReadonlyArray<Mutant> =>
  globSync(join(root, patchDirectory, "*.patch")).sort().map((patch) => parseMutant(patch, readFileSync(patch, "utf8")))
