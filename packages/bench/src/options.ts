import { join, resolve } from "node:path"
import { parseArgs } from "node:util"

import { contenders, groups, modes } from "./plan.ts"
import { chunkSize } from "./records.ts"

/** Where results go by default; git ignores it. */
const defaultOut = join(import.meta.dirname, "..", "..", "..", ".cache", "bench")

const help = `Usage: pnpm bench [options]

Measures Sluice beside other clients, on Apache Kafka and on a transport that answers at once.
What each case does, and how to read it: docs/benchmarks.md.

  --cases <a,b>       of ${modes.slice(0, 7).join(", ")} (all these: producers),
                      ${modes.slice(7).join(", ")} (consumers); default all
  --clients <a,b>     of ${contenders.map(({ id }) => id).join(", ")};
                      default all that are installed
  --rounds <n>        measured rounds, after one to warm up; idle is measured once; default 3
  --records <n>       a measurement of sending ends after so many records, in thousands; default 1000000
  --seconds <n>       or after so long; end-to-end takes twice as long; default 5
  --read <n>          records of the topic that is consumed, in thousands; default 2000000
  --idle-seconds <n>  how long each client is idle; default 60
  --rate <n>          records a second in the open loop of rate; default 10000
  --partitions <n>    of each topic but that of idle; default 3
  --brokers <h:p,..>  a cluster that runs already; by default Apache Kafka is started, with Java 17 and Maven
  --out <directory>   where tables.md, chart.svg and results.json go; default .cache/bench
  --no-warm-up        leaves out the round that warms up the broker
  --help              prints this`

/** What a run is told. */
export interface Options {
  readonly cases: ReadonlyArray<string>
  readonly clients: ReadonlyArray<string>
  /** Whether clients were asked for by name: one that is missing is an error then. */
  readonly named: boolean
  readonly rounds: number
  readonly records: number
  readonly seconds: number
  readonly read: number
  readonly idleSeconds: number
  readonly rate: number
  readonly partitions: number
  readonly brokers: string | undefined
  readonly out: string
  readonly warmUp: boolean
}

/** What is wrong with the arguments, for the user. */
export class OptionError extends Error {}

const listOf = (option: string, text: string | undefined, known: ReadonlyArray<string>): ReadonlyArray<string> => {
  if (text === undefined) return known
  const names = text.split(",").map((name) => name.trim()).filter((name) => name !== "")
  if (names.length === 0) throw new OptionError(`--${option} names none`)
  for (const name of names) {
    if (!known.includes(name)) {
      throw new OptionError(`--${option}: there is no "${name}"; there are ${known.join(", ")}`)
    }
  }
  return names
}

/** A group of cases stands for all of them. */
const casesOf = (text: string | undefined): ReadonlyArray<string> => {
  const names = listOf("cases", text, text === undefined ? modes : [...modes, ...Object.keys(groups)])
  return Array.from(new Set<string>(names.flatMap((name): ReadonlyArray<string> => groups[name] ?? [name])))
}

const isNumber = (text: string, max: number): boolean => text.trim() !== "" && Number(text) > 0 && Number(text) <= max

/** A whole number above 0. Throws {@link OptionError}. */
export const whole = (option: string, text: string, max: number): number => {
  if (isNumber(text, max) && Number.isInteger(Number(text))) return Number(text)
  throw new OptionError(`--${option} must be a whole number from 1 to ${max}; it is "${text}"`)
}

const thousands = (option: string, text: string): number => {
  const records = whole(option, text, 1e9)
  if (records % chunkSize === 0) return records
  throw new OptionError(`--${option} must be a multiple of ${chunkSize}; it is ${records}`)
}

const positive = (option: string, text: string, max: number): number => {
  if (isNumber(text, max)) return Number(text)
  throw new OptionError(`--${option} must be a number above 0, and up to ${max}; it is "${text}"`)
}

/** Reads the arguments; the text of the help if that is asked for. Throws {@link OptionError}. */
export const parseOptions = (args: ReadonlyArray<string>): Options | string => {
  const { values } = (() => {
    try {
      return parseArgs({
        // `pnpm bench -- --help` hands the dashes on.
        args: args[0] === "--" ? args.slice(1) : Array.from(args),
        options: {
          "cases": { type: "string" },
          "clients": { type: "string" },
          "rounds": { type: "string", default: "3" },
          "records": { type: "string", default: "1000000" },
          "seconds": { type: "string", default: "5" },
          "read": { type: "string", default: "2000000" },
          "idle-seconds": { type: "string", default: "60" },
          "rate": { type: "string", default: "10000" },
          "partitions": { type: "string", default: "3" },
          "brokers": { type: "string" },
          "out": { type: "string", default: defaultOut },
          "no-warm-up": { type: "boolean", default: false },
          "help": { type: "boolean", short: "h", default: false }
        }
      })
    } catch (error) {
      throw new OptionError((error as Error).message)
    }
  })()
  if (values.help) return help
  const { brokers } = values
  for (const broker of brokers?.split(",") ?? []) {
    if (!/^[^\s:]+:\d+$/.test(broker)) {
      throw new OptionError(`--brokers must be host:port,host:port; it is "${brokers}"`)
    }
  }
  if (values.out.trim() === "") throw new OptionError("--out names no directory")
  return {
    cases: casesOf(values.cases),
    clients: listOf("clients", values.clients, contenders.map(({ id }) => id)),
    named: values.clients !== undefined,
    rounds: whole("rounds", values.rounds, 1_000),
    records: thousands("records", values.records),
    seconds: positive("seconds", values.seconds, 3_600),
    read: thousands("read", values.read),
    idleSeconds: positive("idle-seconds", values["idle-seconds"], 3_600),
    rate: whole("rate", values.rate, 1e7),
    partitions: whole("partitions", values.partitions, 10_000),
    brokers,
    out: resolve(values.out),
    warmUp: !values["no-warm-up"]
  }
}
