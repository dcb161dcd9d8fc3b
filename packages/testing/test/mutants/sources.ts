import { spawnSync } from "node:child_process"
import { cpSync, lstatSync, mkdirSync, readdirSync, realpathSync, symlinkSync } from "node:fs"
import { dirname, join, relative, sep } from "node:path"

import { type Mutant, root } from "./mutant.ts"

/** What a simulation loads. */
const packages = ["kafka", "testing"]

/** Links to the same dependencies, but to the copies of those packages that are copied. */
const linkDependencies = (from: string, to: string, copy: string): void => {
  mkdirSync(to, { recursive: true })
  for (const name of readdirSync(from)) {
    if (name.startsWith(".")) continue
    const path = join(from, name)
    if (!lstatSync(path).isSymbolicLink()) {
      linkDependencies(path, join(to, name), copy)
      continue
    }
    const target = realpathSync(path)
    const inside = relative(realpathSync(root), target)
    const isCopied = packages.some((each) => inside === join("packages", each))
    symlinkSync(isCopied ? join(copy, inside) : target, join(to, name))
  }
}

/** Copies the sources of the client and of the simulation: what runs in the copy loads nothing else of the workspace. */
export const copySources = (copy: string): void => {
  for (const name of packages) {
    const from = join(root, "packages", name)
    const to = join(copy, "packages", name)
    mkdirSync(to, { recursive: true })
    cpSync(join(from, "package.json"), join(to, "package.json"))
    cpSync(join(from, "src"), join(to, "src"), { recursive: true })
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
