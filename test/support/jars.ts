/** Kafka's jars: from Maven Central, once, into a folder of their own for each version. */
import { execFile, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, readFileSync } from "node:fs"
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"

const execute = promisify(execFile)

const supportDirectory = dirname(fileURLToPath(import.meta.url))
const pomFile = join(supportDirectory, "pom.xml")

/** Where downloaded jars and compiled classes are kept between runs; git ignores it. */
export const cacheDirectory = join(supportDirectory, ".cache")

/** The Apache Kafka that the tests use unless they ask for another. */
export const defaultKafkaVersion = "4.3.0"

/** The oldest Java that Kafka 4 runs on. */
const oldestJava = 17

const javaMajor = (): number | undefined => {
  const answer = spawnSync("java", ["-version"], { encoding: "utf8" })
  if (answer.error !== undefined || answer.status !== 0) return undefined
  const version = /version "(\d+)/.exec(answer.stderr)
  return version === null ? undefined : Number(version[1])
}

const mavenWorks = (): boolean => spawnSync("mvn", ["-version"], { stdio: "ignore" }).status === 0

/** Says in one line what is missing to run Kafka here, or `undefined` if nothing is. */
export const javaMissing = (): string | undefined => {
  const missing: Array<string> = []
  const java = javaMajor()
  if (java === undefined) missing.push(`Java ${oldestJava} or newer (no working "java" on the PATH)`)
  else if (java < oldestJava) missing.push(`Java ${oldestJava} or newer ("java" on the PATH is ${java})`)
  else if (spawnSync("javac", ["-version"], { stdio: "ignore" }).status !== 0) {
    missing.push("the Java compiler (no working \"javac\" on the PATH: install a JDK)")
  }
  if (!mavenWorks()) missing.push("Maven (no working \"mvn\" on the PATH)")
  return missing.length === 0 ? undefined : `Apache Kafka needs ${missing.join(" and ")}`
}

const download = async (version: string, target: string): Promise<void> => {
  const missing = javaMissing()
  if (missing !== undefined) throw new Error(missing)
  await mkdir(cacheDirectory, { recursive: true })
  const unfinished = await mkdtemp(join(cacheDirectory, "unfinished-"))
  try {
    await execute("mvn", [
      "-q",
      "-B",
      "-f",
      pomFile,
      "dependency:copy-dependencies",
      `-Dkafka.version=${version}`,
      `-DoutputDirectory=${unfinished}`
    ]).catch((error: Error & { readonly stdout?: string; readonly stderr?: string }) => {
      throw new Error(
        `Maven could not get the jars of Apache Kafka ${version}:\n${error.stdout ?? ""}${error.stderr ?? ""}`,
        { cause: error }
      )
    })
    await rename(unfinished, target).catch((error) => {
      // Another process was first: its folder is as good as ours.
      if (!existsSync(target)) throw error
    })
  } finally {
    await rm(unfinished, { recursive: true, force: true })
  }
}

const downloads = new Map<string, Promise<string>>()
let lastDownload: Promise<unknown> = Promise.resolve()

/** One Maven at a time: two may write the same file of its local repository. */
const downloadInTurn = (version: string, target: string): Promise<string> => {
  const turn = lastDownload.then(() => download(version, target)).then(() => target)
  lastDownload = turn.catch(() => {})
  return turn
}

/**
 * The folder that holds Apache Kafka's jars and those that it needs. They are downloaded on the first call and reused
 * from then on; a change of `pom.xml` downloads anew. Two processes may call it at once.
 */
export const jarsDirectory = (version: string = defaultKafkaVersion): Promise<string> => {
  const known = downloads.get(version)
  if (known !== undefined) return known
  const pomHash = createHash("sha256").update(readFileSync(pomFile)).digest("hex").slice(0, 8)
  const target = join(cacheDirectory, `kafka-${version}-${pomHash}`)
  const directory = existsSync(target) ? Promise.resolve(target) : downloadInTurn(version, target)
  downloads.set(version, directory)
  directory.catch(() => downloads.delete(version))
  return directory
}

/** A class path of every jar of that version. */
export const classPath = async (version: string = defaultKafkaVersion): Promise<string> =>
  join(await jarsDirectory(version), "*")
