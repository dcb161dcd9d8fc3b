/**
 * `pnpm bench`: Sluice beside other clients, in one run, the clients in turn within each workload: rate, CPU of the client
 * per record, latency of the acknowledgement, peak memory, and ratios to raw kafkajs. The exit code is 0 if every
 * measurement came to its end, and what it sent is in the log.
 */
import { randomBytes } from "node:crypto"
import { mkdirSync, writeFileSync } from "node:fs"
import { availableParallelism, totalmem } from "node:os"
import { join, relative } from "node:path"

import { defaultKafkaVersion, javaMissing } from "@sluice/test/support/jars"
import { startKafka } from "@sluice/test/support/kafka"

import { chartOf } from "./chart.ts"
import type { Job, Kind, Measured } from "./client.ts"
import { inDigits, inMicros, inShort } from "./format.ts"
import { jobOf } from "./job.ts"
import { OptionError, type Options, parseOptions } from "./options.ts"
import { choose, type Contender, contenders, type Entry, type Workload } from "./plan.ts"
import { missing, runJob } from "./programs.ts"
import { Progress } from "./progress.ts"
import { valueSize } from "./records.ts"
import { coreOf, cpuOf, rateOf, Results } from "./results.ts"
import { tableOf } from "./tables.ts"
import { openTopics, type Topics } from "./topics.ts"

/** Sent or read in each process before its clock starts. */
const warmUpRecords = 50_000

const idlePartitions = 100

/** What a measurement takes beside its measured part, in seconds: at a guess. */
const besides = 2.5

/** The round that warms up the broker. */
const warmUpRound = { records: 50_000, seconds: 1 }

const contenderOf = ({ contender }: Entry): Contender => contenders.find(({ id }) => id === contender)!

const inBrief = (measured: Measured): string =>
  measured.records === 0 ?
    `${inDigits(coreOf(measured))} % of a core` :
    `${inShort(rateOf(measured))} records/s, ${inDigits(cpuOf(measured))} µs CPU` +
    (measured.latency === undefined
      ? ""
      : `, p50 ${inMicros(measured.latency.p50)}, p99 ${inMicros(measured.latency.p99)}`)

interface Cluster {
  readonly brokers: string
  readonly topics: Topics
}

/** What a process is told beside its client: how many records, for how long, and how fast. */
const loadOf = (kind: Kind, options: Options): Pick<Job, "rate" | "records" | "seconds" | "warmUp"> => {
  const { idleSeconds, rate, read, records, seconds } = options
  switch (kind) {
    case "send":
      return { warmUp: Math.min(warmUpRecords, records), records, seconds, rate }
    case "read":
      return { warmUp: Math.min(warmUpRecords, read), records: read, seconds: 0, rate }
    case "pass": {
      const passRate = 1_000
      return { warmUp: passRate * Math.min(3, seconds), records: 1e9, seconds: 2 * seconds, rate: passRate }
    }
    case "idle":
      return { warmUp: 0, records: 0, seconds: idleSeconds, rate }
  }
}

/** What a process of each kind takes, in milliseconds: at a guess. */
const expected = (kind: Kind, options: Options): number => {
  const { records, seconds } = loadOf(kind, options)
  const measured: Record<Kind, number> = {
    send: seconds * 0.7,
    read: records / 5e5,
    pass: seconds + 3,
    idle: seconds + 3
  }
  return (besides + measured[kind]) * 1_000
}

/** One measurement, and whether what it sent or committed is there. */
const measure = async (
  entry: Entry,
  kind: Kind,
  options: Options,
  cluster: Cluster | undefined,
  filled: string | undefined
): Promise<Measured> => {
  const { idempotent, isNull = false, isTuned = false, module } = contenderOf(entry)
  const target = isNull ? undefined : cluster!
  const partitions = kind === "idle" ? idlePartitions : options.partitions
  const topic = filled ?? await target?.topics.create(partitions)
  try {
    const job = jobOf({
      ...loadOf(kind, options),
      ...(topic === undefined
        ? {}
        : { topic, brokers: target!.brokers, group: `bench-${randomBytes(4).toString("hex")}` }),
      client: module,
      kind,
      mode: entry.mode,
      partitions,
      idempotent,
      tuned: isTuned
    })
    const measured = await runJob(job)
    if (topic === undefined) return measured
    const logged = await target!.topics.count(topic)
    if (logged !== measured.total) {
      throw new Error(`${measured.total} records were acknowledged or read, and ${logged} are in the log`)
    }
    const left = kind === "read" ? await target!.topics.uncommitted(topic, job.group) : 0
    if (left !== 0) throw new Error(`${left} of ${logged} records were not committed`)
    return measured
  } finally {
    if (topic !== undefined && filled === undefined) await target!.topics.remove(topic)
  }
}

const limitsOf = (round: number, options: Options): Options =>
  round > 0 ? options : {
    ...options,
    records: Math.min(options.records, warmUpRound.records),
    read: Math.min(options.read, warmUpRound.records),
    seconds: Math.min(options.seconds, warmUpRound.seconds)
  }

/** An idle minute is much like another. */
const isMeasured = ({ kind }: Workload, round: number): boolean => kind !== "idle" || round === 1

/** The entries of a workload, one after the other, every second round backwards. */
const runWorkload = async (
  workload: Workload,
  round: number,
  options: Options,
  cluster: Cluster | undefined,
  onEach: {
    readonly begin: (entry: Entry) => void
    readonly end: (entry: Entry, result: Measured | Error) => void
  }
): Promise<void> => {
  if (!isMeasured(workload, round)) return
  const limits = limitsOf(round, options)
  const entries = round % 2 === 0 ? workload.entries : workload.entries.toReversed()
  // All read the same log, which none of them has written.
  const filled = workload.kind === "read" ? await fill(cluster!, limits) : undefined
  try {
    for (const entry of entries) {
      onEach.begin(entry)
      const result = await measure(entry, workload.kind, limits, cluster, filled).catch((error: unknown) =>
        error instanceof Error ? error : new Error(String(error))
      )
      onEach.end(entry, result)
    }
  } finally {
    if (filled !== undefined) await cluster!.topics.remove(filled)
  }
}

/** A topic with the records that are to be read. */
const fill = async ({ brokers, topics }: Cluster, { partitions, read }: Options): Promise<string> => {
  const topic = await topics.create(partitions)
  await runJob(jobOf({ brokers, topic, partitions, records: read, seconds: 600 }))
  return topic
}

const conditionsOf = ({ brokers, partitions, rate, read, records, seconds }: Options, rounds: number): string => {
  const kafka = brokers === undefined
    ? `Apache Kafka ${defaultKafkaVersion}, one broker on the same machine, its log in memory where there is room`
    : "a cluster that ran already"
  return `${
    new Date().toISOString().slice(0, 10)
  }: Node ${process.versions.node} on ${process.platform} ${process.arch}, ` +
    `${availableParallelism()} cores, ${Math.round(totalmem() / 2 ** 30)} GiB; ${kafka}; ${partitions} partitions; ` +
    `values of ${valueSize} bytes, keys of 10; acks all; up to ${
      records.toLocaleString("en")
    } records or ${seconds} s a ` +
    `measurement of sending, and ${read.toLocaleString("en")} records read; open loop at ${
      rate.toLocaleString("en")
    } records/s; medians of ${rounds} round${rounds === 1 ? "" : "s"}`
}

const main = async (options: Options): Promise<boolean> => {
  const absent = contenders.filter(({ id }) => options.clients.includes(id)).flatMap((contender) => {
    const reason = missing(contender)
    return reason === undefined ? [] : [{ id: contender.id, reason }]
  })
  if (absent.length > 0 && options.named) {
    throw new OptionError(absent.map(({ id, reason }) => `${id}: ${reason}`).join("\n"))
  }
  const clients = options.clients.filter((client) => !absent.some(({ id }) => id === client))
  const workloads = choose(options.cases, clients)
  const entries = workloads.flatMap((workload) => workload.entries)
  if (entries.length === 0) throw new OptionError("none of these clients knows any of these cases")
  const needsKafka = workloads.some(({ entries }) => entries.some((e) => contenderOf(e).isNull !== true))
  if (needsKafka && options.brokers === undefined) {
    const reason = javaMissing()
    if (reason !== undefined) throw new OptionError(`${reason}; or name a cluster with --brokers`)
  }

  const rounds = Array.from({ length: options.rounds + (options.warmUp ? 1 : 0) }, (_, i) => options.warmUp ? i : i + 1)
  const progress = new Progress(rounds.flatMap((round) => {
    const limits = limitsOf(round, options)
    return workloads.flatMap((workload) =>
      isMeasured(workload, round) ? workload.entries.map(() => expected(workload.kind, limits)) : []
    )
  }))
  const results = new Results()
  const failures: Array<string> = []
  /** Writes what there is so far, so that a run that is ended early leaves its rounds; gives the tables. */
  const report = (round = options.rounds): string => {
    const conditions = conditionsOf(options, round)
    const tables = [
      `${conditions}.`,
      ...workloads.map((workload) => tableOf(workload, results)),
      ...absent.map(({ id, reason }) => `Left out: ${id}: ${reason}`),
      ...failures.map((failure) => `Failed: ${failure}`)
    ].join("\n\n")
    const raw = workloads.flatMap((workload) =>
      results.rows(workload).map(({ entry, rounds }) => ({ workload: workload.id, ...entry, rounds }))
    )
    mkdirSync(options.out, { recursive: true })
    writeFileSync(join(options.out, "tables.md"), `${tables}\n`)
    writeFileSync(join(options.out, "chart.svg"), chartOf(workloads, results))
    writeFileSync(join(options.out, "results.json"), `${JSON.stringify({ conditions, results: raw }, null, 2)}\n`)
    return tables
  }
  const kafka = needsKafka && options.brokers === undefined ? await startKafka({ heap: "1g" }) : undefined
  const brokers = options.brokers ?? kafka?.brokers
  const topics = brokers === undefined ? undefined : await openTopics(brokers).catch(async (error: Error) => {
    await kafka?.stop()
    throw options.brokers === undefined ? error : new OptionError(`--brokers ${brokers}: ${error.message}`)
  })
  try {
    for (const round of rounds) {
      for (const workload of workloads) {
        const what = (entry: Entry) =>
          `${round === 0 ? "warm-up" : `round ${round}/${options.rounds}`}  ${workload.id}  ${
            contenderOf(entry).label
          } ${entry.mode}`
        await runWorkload(workload, round, options, topics === undefined ? undefined : { brokers: brokers!, topics }, {
          begin: (entry) => progress.begin(what(entry)),
          end: (entry, result) => {
            const failed = result instanceof Error
            if (failed) failures.push(`${what(entry)}: ${result.message}`)
            progress.end(what(entry), failed ? `FAILED: ${result.message.split("\n", 1)[0]}` : inBrief(result))
            if (round > 0) results.add(entry, round, failed ? undefined : result)
          }
        })
      }
      if (round > 0) report(round)
    }
  } finally {
    await topics?.close()
    await kafka?.stop()
  }

  console.log(`\n${report()}`)
  console.log(`\nTables, chart.svg and results.json are in ${relative(process.cwd(), options.out) || "."}`)
  return failures.length === 0
}

// So that the broker ends too.
process.once("SIGINT", () => process.exit(130))

try {
  const options = parseOptions(process.argv.slice(2))
  if (typeof options === "string") console.log(options)
  else process.exitCode = await main(options) ? 0 : 1
} catch (error) {
  if (!(error instanceof OptionError)) throw error
  console.error(error.message)
  process.exitCode = 2
}
