/** How the process of a measurement is started, for each client; and whether it is there at all. */
import { spawn, spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { javaMissing } from "@sluice/test/support/jars"
import { javaProgram } from "@sluice/test/support/javaTool"

import type { Job, Kind, Measured } from "./client.ts"
import { load as loadConfluent } from "./clients/confluent.ts"
import type { Contender } from "./plan.ts"
import { valueOf } from "./records.ts"

const saramaSources = join(import.meta.dirname, "..", "sarama")

/** Kept between runs, for each machine: git ignores it. */
const cache = join(import.meta.dirname, "..", "..", "..", ".cache", "bench-programs")
const saramaBinary = join(cache, process.platform === "win32" ? "sarama.exe" : "sarama")

/** A client that reads fewer records a millisecond is not waited for. */
const slowestRead = 10

/** Java takes a random one of these lines for each record. */
const payloads = 1_024

/** Says what is missing, and how to get it; undefined if the client can be measured. */
export const missing = ({ module }: Contender): string | undefined => {
  switch (module) {
    case "java":
      return javaMissing()
    case "confluent":
      try {
        loadConfluent()
        return undefined
      } catch {
        return "not installed: `npm install --prefix <folder> @confluentinc/kafka-javascript`, " +
          "then NODE_PATH=<folder>/node_modules (a native module: it has builds for some platforms)"
      }
    case "sarama":
      return buildSarama()
    default:
      return undefined
  }
}

const buildSarama = (): string | undefined => {
  if (spawnSync("go", ["version"]).status !== 0) {
    return "not installed: Go 1.26 or newer (no working \"go\" on the PATH)"
  }
  mkdirSync(cache, { recursive: true })
  const built = spawnSync("go", ["build", "-o", saramaBinary, "."], { cwd: saramaSources, encoding: "utf8" })
  return built.status === 0 ? undefined : `does not build: ${built.stderr.trim().split("\n").slice(-3).join("; ")}`
}

/** How Java is told what to do: `Measured.java` says what it takes. */
const javaArguments: Record<Kind, (job: Job, directory: string) => ReadonlyArray<string>> = {
  send: ({ brokers, idempotent, records, topic, tuned, warmUp }, directory) => {
    const payload = join(directory, "values.txt")
    writeFileSync(payload, Array.from({ length: payloads }, (_, i) => valueOf(i).toString("latin1")).join("\n"))
    return [
      ...["produce", String(warmUp), String(records)],
      ...["--topic", topic, "--throughput", "-1", "--payload-file", payload],
      "--producer-props",
      `bootstrap.servers=${brokers}`,
      "acks=all",
      `enable.idempotence=${idempotent}`,
      ...(tuned ? ["linger.ms=5", "batch.size=262144"] : [])
    ]
  },
  read: ({ brokers, group, records, topic, warmUp }) => [
    ...["consume", String(warmUp), String(records), group],
    ...["--bootstrap-server", brokers, "--topic", topic]
  ],
  pass: ({ brokers, group, rate, seconds, topic, warmUp }) =>
    ["pass", brokers, topic, group, rate, warmUp, Math.round(rate * seconds)].map(String),
  idle: ({ brokers, group, seconds, topic }) => ["idle", brokers, topic, group, String(seconds)]
}

const javaCommand = async (job: Job, directory: string): Promise<ReadonlyArray<string>> => {
  const { classPath, mainClass } = await javaProgram("Measured.java")
  return [
    "-Xmx512m",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
    ...["-cp", classPath, mainClass],
    ...javaArguments[job.kind](job, directory)
  ]
}

/** What a process of ours needs in its environment: its sources compiled are kept, or it would measure that too. */
const workerEnvironment = { ...process.env, NODE_COMPILE_CACHE: join(cache, "compiled") }

/** Runs a program to its end: its output, or why there is none. */
const outputOf = (program: string, args: ReadonlyArray<string>, timeout: number): Promise<string> =>
  new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], env: workerEnvironment })
    let output = ""
    let errors = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text
    })
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      errors = (errors + text).slice(-4_000)
    })
    const kill = () => child.kill("SIGKILL")
    process.once("exit", kill)
    let timedOut = false
    const timer = setTimeout(() => {
      timedOut = true
      kill()
    }, timeout)
    child.once("error", reject)
    child.once("close", (code, signal) => {
      clearTimeout(timer)
      process.off("exit", kill)
      if (code === 0) resolve(output)
      else {reject(
          new Error(
            `${timedOut ? `was killed after ${timeout / 1_000} s` : `ended with ${code ?? signal}`}: ${errors.trim()}`
          )
        )}
    })
  })

/** Runs a program that prints what it has measured in its last line. */
const measuredBy = async (
  program: string,
  args: ReadonlyArray<string>,
  { kind, records, seconds }: Job
): Promise<Measured> => {
  const limit = 60_000 + 3_000 * seconds + (kind === "read" ? records / slowestRead : 0)
  const output = await outputOf(program, args, limit)
  return JSON.parse(output.trimEnd().split("\n").at(-1) ?? "") as Measured
}

/** Runs one measurement in Node, by that file or a copy of it. */
export const runWorker = (file: string, job: Job): Promise<Measured> =>
  measuredBy(process.execPath, ["--no-warnings", file, JSON.stringify(job)], job)

/** Runs one measurement in a process of its own. */
export const runJob = async (job: Job): Promise<Measured> => {
  if (job.client === "sarama") return measuredBy(saramaBinary, [JSON.stringify(job)], job)
  if (job.client !== "java") return runWorker(join(import.meta.dirname, "worker.ts"), job)
  const directory = mkdtempSync(join(tmpdir(), "sluice-bench-"))
  try {
    return await measuredBy("java", await javaCommand(job, directory), job)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
