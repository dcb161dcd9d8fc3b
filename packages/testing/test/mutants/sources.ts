import { spawnSync } from "node:child_process"
import {
  cpSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync
} from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, relative, sep } from "node:path"

import { type Mutant, root } from "./mutant.ts"

/** What a simulation and the tests without a broker load. */
const packages = ["kafka", "kafkajs", "testing"]

/** Links to the same dependencies, but to the copies of those packages that are copied. */
const linkDependencies = (from: string, to: string, copy: string): void => {
  mkdirSync(to, { recursive: true })
  for (const name of readdirSync(from)) {
    if (name.startsWith(".")) continue
    const path = join(from, name)
    const stats = lstatSync(path)
    if (stats.isDirectory()) linkDependencies(path, join(to, name), copy)
    if (!stats.isSymbolicLink()) continue
    const target = realpathSync(path)
    const inside = relative(realpathSync(root), target)
    const isCopied = packages.some((each) => inside === join("packages", each))
    symlinkSync(isCopied ? join(copy, inside) : target, join(to, name))
  }
}

/**
 * Copies the sources of the client and of the simulation, and their tests: what runs in the copy loads nothing else of
 * the workspace, and writes nothing to it.
 */
export const copySources = (copy: string): void => {
  cpSync(join(root, "package.json"), join(copy, "package.json"))
  linkDependencies(join(root, "node_modules"), join(copy, "node_modules"), copy)
  for (const name of packages) {
    const from = join(root, "packages", name)
    const to = join(copy, "packages", name)
    mkdirSync(to, { recursive: true })
    cpSync(join(from, "package.json"), join(to, "package.json"))
    for (const part of ["src", "test"]) cpSync(join(from, part), join(to, part), { recursive: true })
    linkDependencies(join(from, "node_modules"), join(to, "node_modules"), copy)
  }
}

/** Puts a mutant into a copy; or says why it cannot be put there. */
export const applyMutant = (copy: string, { patch }: Mutant): string | undefined => {
  const { error, status, stderr } = spawnSync("git", ["apply", "--whitespace=nowarn", patch], {
    cwd: copy,
    encoding: "utf8",
    // Inside of a repository it would take paths from there.
    env: { ...process.env, GIT_CEILING_DIRECTORIES: dirname(copy) + sep }
  })
  return error?.message ?? (status === 0 ? undefined : stderr.trim())
}

/** The files that a mutant changes, by their paths, as they are with it; or why it cannot be put there. */
export const patchedFiles = (mutant: Mutant): ReadonlyMap<string, string> | string => {
  const copy = mkdtempSync(join(tmpdir(), "sluice-mutant-"))
  try {
    for (const file of mutant.files) {
      mkdirSync(dirname(join(copy, file)), { recursive: true })
      cpSync(join(root, file), join(copy, file))
    }
    const problem = applyMutant(copy, mutant)
    if (problem !== undefined) return `the patch does not apply: ${problem}`
    return new Map(mutant.files.map((file) => [join(root, file), readFileSync(join(copy, file), "utf8")]))
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

/** Uses a copy of the sources, which is gone afterwards, also where this process ends meanwhile. */
export const withCopy = async <A>(use: (copy: string) => A | Promise<A>): Promise<A> => {
  const copy = mkdtempSync(join(tmpdir(), "sluice-mutant-"))
  const remove = () => rmSync(copy, { recursive: true, force: true })
  process.once("exit", remove)
  try {
    copySources(copy)
    return await use(copy)
  } finally {
    process.off("exit", remove)
    remove()
  }
}
