/**
 * Loads every module of the built packages, as an application would import them. Plain JavaScript: it runs on the
 * oldest Node that the packages support. Its last line is `{"passed":…,"failed":…}`.
 */
import { readdirSync, readFileSync } from "node:fs"
import { register } from "node:module"
import { dirname, join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"

const packagesDirectory = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "packages")

const packages = readdirSync(packagesDirectory)
  .map((name) => join(packagesDirectory, name))
  .map((directory) => ({ directory, ...JSON.parse(readFileSync(join(directory, "package.json"), "utf8")) }))
  .filter((each) => each.private !== true)

// In the workspace the packages export their TypeScript sources; this takes what `publishConfig` publishes.
register("./publishedExports.mjs", import.meta.url, {
  data: packages.map(({ directory, name, publishConfig }) => ({
    name,
    url: pathToFileURL(`${directory}/`).href,
    exports: publishConfig.exports
  }))
})

/** Modules that load only where vitest runs. */
const needVitest = new Set(["@sluice/testing/Conformance"])

let passed = 0
let failed = 0
for (const { directory, name } of packages) {
  try {
    const modules = readdirSync(join(directory, "src"))
      .filter((file) => file.endsWith(".ts"))
      .map((file) => file.slice(0, -".ts".length))
      .map((module) => module === "index" ? name : `${name}/${module}`)
      .filter((specifier) => !needVitest.has(specifier))
    for (const specifier of modules) await import(specifier)
    passed++
    console.log(`✓ ${name}: ${modules.length} modules`)
  } catch (error) {
    failed++
    console.log(`× ${name}:`, error)
  }
}
console.log(JSON.stringify({ passed, failed }))
process.exitCode = failed === 0 && passed > 0 ? 0 : 1
