/**
 * Loads every module of the built packages, as an application would import them, and tries the codecs, of which an old
 * Node may lack one. Plain JavaScript: it runs on the oldest Node that the packages support. Its last line is `{"passed":…,"failed":…}`.
 */
import { readdirSync, readFileSync } from "node:fs"
import { register } from "node:module"
import { dirname, join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import * as zlib from "node:zlib"

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
try {
  const { builtInCodecs, compressionTypes, missingCodec } = await import("@sluice/kafka/internal/kernel/compression")
  const text = "one of many lines\n".repeat(10_000)
  const names = Object.keys(compressionTypes).filter((name) => {
    const codec = builtInCodecs(compressionTypes[name])
    if (codec === undefined) return false
    const compressed = codec.compress(Buffer.from(text))
    if (Buffer.from(codec.decompress(compressed, text.length)).toString() === text) return true
    throw new Error(`${name} does not give back what it took`)
  })
  const expected = "zstdCompressSync" in zlib ? "gzip snappy lz4 zstd" : "gzip snappy lz4"
  if (names.join(" ") !== expected) throw new Error(`codecs: ${names}; ${missingCodec(compressionTypes.zstd)}`)
  passed++
  console.log(`✓ codecs: ${names.join(", ")}`)
} catch (error) {
  failed++
  console.log("× codecs:", error)
}
console.log(JSON.stringify({ passed, failed }))
process.exitCode = failed === 0 && passed > 0 ? 0 : 1
