/** Kafka's own clients and tools, run as child processes: what our clients are compared with. */
import { execFile, spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync } from "node:fs"
import { mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises"
import { basename, delimiter, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"

import { cacheDirectory, classPath, defaultKafkaVersion } from "./jars.ts"

const execute = promisify(execFile)

const javaDirectory = join(dirname(fileURLToPath(import.meta.url)), "java")

const compiled = new Map<string, Promise<string>>()

const compile = async (sourceFile: string, version: string): Promise<string> => {
  const jars = await classPath(version)
  const hash = createHash("sha256").update(jars).update(await readFile(sourceFile)).digest("hex").slice(0, 12)
  const target = join(cacheDirectory, "classes", `${basename(sourceFile, ".java")}-${hash}`)
  if (existsSync(target)) return target
  await mkdir(dirname(target), { recursive: true })
  const unfinished = await mkdtemp(join(dirname(target), "unfinished-"))
  try {
    await execute("javac", ["-nowarn", "-proc:none", "-encoding", "UTF-8", "-cp", jars, "-d", unfinished, sourceFile])
    await rename(unfinished, target).catch((error) => {
      // Another process was first: its classes are as good as ours.
      if (!existsSync(target)) throw error
    })
  } finally {
    await rm(unfinished, { recursive: true, force: true })
  }
  return target
}

/**
 * The class path and the main class of a program: a class on Kafka's class path (`kafka.Kafka`), or a source file of
 * `test/support/java` (`Produce.java`), which is compiled once for each content and Kafka version.
 */
export const javaProgram = async (
  program: string,
  version: string = defaultKafkaVersion
): Promise<{ readonly classPath: string; readonly mainClass: string }> => {
  const jars = await classPath(version)
  if (!program.endsWith(".java")) return { classPath: jars, mainClass: program }
  const sourceFile = join(javaDirectory, program)
  const key = `${version} ${sourceFile}`
  const classes = compiled.get(key) ?? compile(sourceFile, version)
  compiled.set(key, classes)
  classes.catch(() => compiled.delete(key))
  return { classPath: `${await classes}${delimiter}${jars}`, mainClass: basename(program, ".java") }
}

/** How a Java program is run. */
export interface JavaOptions {
  /** Standard input; empty by default. */
  readonly input?: string | Uint8Array
  /** The Apache Kafka whose jars are on the class path; 4.3.0 by default. */
  readonly version?: string
  /** Milliseconds until the program is killed and the call fails; 60,000 by default. */
  readonly timeout?: number
}

/** Runs a Java program to its end and returns the bytes of its standard output; fails if its exit code is not 0. */
export const runJavaBytes = async (
  program: string,
  args: ReadonlyArray<string> = [],
  { input = "", timeout = 60_000, version = defaultKafkaVersion }: JavaOptions = {}
): Promise<Buffer> => {
  const { classPath, mainClass } = await javaProgram(program, version)
  const child = spawn("java", [
    "-Xmx256m",
    "-XX:+UseSerialGC",
    // These programs live for a second: the optimising compiler would cost more than it gives.
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-cp",
    classPath,
    mainClass,
    ...args
  ])
  const output: Array<Buffer> = []
  const errors: Array<Buffer> = []
  child.stdout.on("data", (bytes: Buffer) => output.push(bytes))
  child.stderr.on("data", (bytes: Buffer) => errors.push(bytes))
  // A program may end before it has read everything: its exit code tells then, not the broken pipe.
  child.stdin.on("error", () => {})
  child.stdin.end(input)
  const killOnExit = () => child.kill("SIGKILL")
  process.once("exit", killOnExit)
  let timedOut = false
  const timer = setTimeout(() => {
    timedOut = true
    child.kill("SIGKILL")
  }, timeout)
  try {
    const exit = await new Promise<number | NodeJS.Signals | null>((resolve, reject) => {
      child.once("error", reject)
      child.once("close", (code, signal) => resolve(code ?? signal))
    })
    if (exit !== 0) {
      const reason = timedOut ? `did not end within ${timeout} ms` : `ended with ${exit}`
      throw new Error(`${program} ${reason}:\n${Buffer.concat(errors).toString("utf8")}`)
    }
    return Buffer.concat(output)
  } finally {
    clearTimeout(timer)
    process.off("exit", killOnExit)
  }
}

/** Runs a Java program to its end and returns its standard output as text; fails if its exit code is not 0. */
export const runJava = async (
  program: string,
  args: ReadonlyArray<string> = [],
  options: JavaOptions = {}
): Promise<string> => (await runJavaBytes(program, args, options)).toString("utf8")

/** A record as Kafka's own clients wrote or read it. */
export interface JavaRecord {
  readonly partition: number
  readonly offset: number
  /** Milliseconds since 1970. */
  readonly timestamp: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  /** In order, duplicates included. */
  readonly headers: ReadonlyArray<readonly [name: string, value: Buffer | null]>
}

/** A record for {@link javaProduce}: text is taken as UTF-8, and what is left out is the producer's choice. */
export interface JavaProducerRecord {
  readonly partition?: number
  /** Milliseconds since 1970. */
  readonly timestamp?: number
  readonly key?: string | Uint8Array | null
  readonly value: string | Uint8Array | null
  readonly headers?: ReadonlyArray<readonly [name: string, value: string | Uint8Array | null]>
}

const hex = (value: string | Uint8Array | null | undefined): string => {
  if (value === null || value === undefined) return "-"
  return (typeof value === "string" ? Buffer.from(value, "utf8") : Buffer.from(value)).toString("hex")
}

const bytes = (text: string): Buffer | null => text === "-" ? null : Buffer.from(text, "hex")

const settingsOf = (properties: Readonly<Record<string, string | number | boolean>>): Array<string> =>
  Object.entries(properties).map(([name, value]) => `${name}=${value}`)

/** Where a Java client works, and with which settings. */
export interface JavaClientOptions {
  /** Bootstrap servers, separated by commas. */
  readonly brokers: string
  readonly topic: string
  /** Settings of the Java client, such as `compression.type` or `isolation.level`. */
  readonly properties?: Readonly<Record<string, string | number | boolean>>
  readonly version?: string
}

/** Writes records with Kafka's own producer, in order, and tells where each went. */
export const javaProduce = async (
  options: JavaClientOptions & {
    readonly records: ReadonlyArray<JavaProducerRecord>
    /** How the transaction that holds them all ends; needs the setting `transactional.id`. None by default. */
    readonly transaction?: "commit" | "abort"
  }
): Promise<ReadonlyArray<{ readonly partition: number; readonly offset: number; readonly timestamp: number }>> => {
  const lines = options.records.map(({ headers = [], key, partition, timestamp, value }) => {
    const headerText = headers.map(([name, content]) => `${hex(name)}=${hex(content)}`).join(",")
    return `${partition ?? "-"}\t${timestamp ?? "-"}\t${hex(key)}\t${hex(value)}\t${headerText}\n`
  })
  const output = await runJava("Produce.java", [
    options.brokers,
    options.topic,
    options.transaction ?? "none",
    ...settingsOf(options.properties ?? {})
  ], { input: lines.join(""), ...(options.version === undefined ? {} : { version: options.version }) })
  return output.split("\n").filter((line) => line !== "").map((line) => {
    const [partition, offset, timestamp] = line.split("\t").map(Number)
    return { partition: partition!, offset: offset!, timestamp: timestamp! }
  })
}

/** Reads a topic with Kafka's own consumer, from its start to where it ends when the call is made. */
export const javaConsume = async (options: JavaClientOptions): Promise<ReadonlyArray<JavaRecord>> => {
  const output = await runJava(
    "Consume.java",
    [options.brokers, options.topic, ...settingsOf(options.properties ?? {})],
    options.version === undefined ? {} : { version: options.version }
  )
  return output.split("\n").filter((line) => line !== "").map((line) => {
    const [partition, offset, timestamp, key, value, headers] = line.split("\t") as [
      string,
      string,
      string,
      string,
      string,
      string
    ]
    return {
      partition: Number(partition),
      offset: Number(offset),
      timestamp: Number(timestamp),
      key: bytes(key),
      value: bytes(value),
      headers: headers === "" ? [] : headers.split(",").map((header) => {
        const [name, content] = header.split("=") as [string, string]
        return [bytes(name)!.toString("utf8"), bytes(content)] as const
      })
    }
  })
}

// The console consumer writes keys, values and headers as they are: these must not occur in them.
const fieldSeparator = "<|field|>"
const headerSeparator = "<|header|>"
const lineSeparator = "<|end|>"
const nullLiteral = "<|null|>"

/**
 * Reads records with Kafka's console consumer (`kafka-console-consumer`), from the start of the topic, and waits until
 * it has read `count` of them. Meant for text; {@link javaConsume} takes any bytes.
 */
export const consoleConsumer = async (
  options: JavaClientOptions & {
    readonly count: number
    /** Milliseconds without a record until the call fails; 30,000 by default. */
    readonly timeout?: number
  }
): Promise<ReadonlyArray<JavaRecord>> => {
  const { brokers, count, properties = {}, timeout = 30_000, topic, version = defaultKafkaVersion } = options
  const formatter = {
    "print.timestamp": true,
    "print.partition": true,
    "print.offset": true,
    "print.headers": true,
    "print.key": true,
    "print.value": true,
    "key.separator": fieldSeparator,
    "headers.separator": headerSeparator,
    "line.separator": lineSeparator,
    "null.literal": nullLiteral
  }
  const isolation = properties["isolation.level"]
  const output = await runJavaBytes("org.apache.kafka.tools.consumer.ConsoleConsumer", [
    "--bootstrap-server",
    brokers,
    "--topic",
    topic,
    "--from-beginning",
    "--max-messages",
    String(count),
    "--timeout-ms",
    String(timeout),
    // The option of its own has a default, which would win over the setting.
    ...(isolation === undefined ? [] : ["--isolation-level", String(isolation)]),
    ...settingsOf(properties).flatMap((setting) => ["--consumer-property", setting]),
    ...settingsOf(formatter).flatMap((setting) => ["--property", setting])
  ], { version, timeout: timeout + 30_000 })

  // Latin-1 keeps every byte while the text is taken apart.
  const field = (text: string): Buffer | null => text === nullLiteral ? null : Buffer.from(text, "latin1")
  const records = output.toString("latin1").split(lineSeparator).slice(0, -1).map((line): JavaRecord => {
    const [timestamp, partition, offset, headers, key, value] = line.split(fieldSeparator) as [
      string,
      string,
      string,
      string,
      string,
      string
    ]
    return {
      partition: Number(partition.replace("Partition:", "")),
      offset: Number(offset.replace("Offset:", "")),
      // Newer versions print a notice first: the old names of the options work with all versions.
      timestamp: Number(/\w+:(-?\d+)$/.exec(timestamp)?.[1]),
      key: field(key),
      value: field(value),
      headers: headers === "NO_HEADERS" ? [] : headers.split(headerSeparator).map((header) => {
        const colon = header.indexOf(":")
        return [Buffer.from(header.slice(0, colon), "latin1").toString("utf8"), field(header.slice(colon + 1))] as const
      })
    }
  })
  if (records.length < count) {
    throw new Error(`The console consumer read ${records.length} of ${count} records of ${topic}`)
  }
  return records
}
