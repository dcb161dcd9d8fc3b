/** Kafka's console consumer as a member of a group: a process that prints what it reads until it is told to leave. */
import { spawn } from "node:child_process"

import { Effect, type Scope } from "effect"

import { javaProgram } from "./javaTool.ts"
import { within } from "./members.ts"

/** A record that a member has read. */
export interface Reading {
  /** The member. */
  readonly reader: string
  readonly partition: number
  readonly value: string
  /** When, by `performance.now()`. */
  readonly at: number
}

/** A console consumer that runs. */
export interface JavaMember {
  readonly name: string
  /** What it has printed so far, in order. */
  readonly printed: ReadonlyArray<Reading>
  /** SIGTERM: it commits what it printed, leaves the group, and ends. */
  readonly leave: Effect.Effect<void>
}

/** Starts one. It ends with the scope, if it has not left before. */
export const startJavaMember = (options: {
  readonly brokers: string
  readonly topic: string
  readonly groupId: string
  /** Its client id, too. */
  readonly name: string
  /** Names of assignors as the group has them; the first one that all members have is taken. */
  readonly assignors: ReadonlyArray<string>
}): Effect.Effect<JavaMember, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { classPath, mainClass } = yield* Effect.promise(() =>
      javaProgram("org.apache.kafka.tools.consumer.ConsoleConsumer")
    )
    const settings = {
      "group.id": options.groupId,
      "client.id": options.name,
      "partition.assignment.strategy": options.assignors.map((name) => `${javaPackage}.${classOf[name]}`).join(","),
      "heartbeat.interval.ms": 100,
      // What it has printed; as it leaves, too.
      "enable.auto.commit": true,
      "auto.commit.interval.ms": 200
    }
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn("java", [
          "-Xmx128m",
          "-XX:+UseSerialGC",
          "-XX:TieredStopAtLevel=1",
          "-XX:-UsePerfData",
          "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
          "-cp",
          classPath,
          mainClass,
          "--bootstrap-server",
          options.brokers,
          "--topic",
          options.topic,
          "--from-beginning",
          ...Object.entries(settings).flatMap(([name, value]) => ["--consumer-property", `${name}=${value}`]),
          ...["print.partition", "print.value"].flatMap((name) => ["--property", `${name}=true`])
        ], { stdio: ["ignore", "pipe", "pipe"] })
      ),
      (child) =>
        Effect.async<void>((resume) => {
          if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
          child.once("close", () => resume(Effect.void))
          child.kill("SIGKILL")
        })
    )
    const killOnExit = () => child.kill("SIGKILL")
    process.once("exit", killOnExit)
    const ended = new Promise<void>((resolve) =>
      child.once("close", () => {
        process.off("exit", killOnExit)
        resolve()
      })
    )
    const printed: Array<Reading> = []
    let errors = ""
    let rest = ""
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      errors += text
    })
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n")
      rest = lines.pop()!
      for (const line of lines) {
        const match = /^Partition:(\d+)\t(.*)$/.exec(line)
        if (match === null) continue
        printed.push({ reader: options.name, partition: Number(match[1]), value: match[2]!, at: performance.now() })
      }
    })
    return {
      name: options.name,
      printed,
      leave: within(
        () => `${options.name} leaves: ${errors.slice(-2_000)}`,
        Effect.promise(() => {
          child.kill("SIGTERM")
          return ended
        })
      )
    }
  })

const javaPackage = "org.apache.kafka.clients.consumer"

const classOf: Readonly<Record<string, string>> = {
  "range": "RangeAssignor",
  "roundrobin": "RoundRobinAssignor",
  "sticky": "StickyAssignor",
  "cooperative-sticky": "CooperativeStickyAssignor"
}
