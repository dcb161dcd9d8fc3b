/** Apache Kafka for tests: KRaft brokers as child processes, up in seconds and gone with the process that started them. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import { existsSync, readdirSync, readFileSync, rmSync, statfsSync } from "node:fs"
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { setTimeout as sleep } from "node:timers/promises"

import { type Certificates, certificates, storePassword } from "./certificates.ts"
import { defaultKafkaVersion } from "./jars.ts"
import { javaProgram } from "./javaTool.ts"
import { freePorts } from "./ports.ts"

/** Users of the SASL listeners, known to PLAIN and SCRAM; OAUTHBEARER takes any unsecured token. */
export const saslUsers = { alice: "alice-secret", bob: "bob-secret" } as const

/** The host and port of one broker's listeners. */
export interface Listeners {
  /** No encryption and no authentication; always there. */
  readonly plaintext: string
  /** TLS, then PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER. */
  readonly saslSsl?: string
  /** TLS without authentication, unless the client shows a certificate of the same authority. */
  readonly ssl?: string
  /** The same mechanisms without TLS. */
  readonly saslPlaintext?: string
  /** What the brokers use among themselves, without encryption and authentication: past whatever is `advertised`. */
  readonly internal?: string
}

/** Where the brokers are: a plain value that crosses processes. */
export interface KafkaAddresses {
  /** Bootstrap servers, separated by commas: the plaintext listeners. */
  readonly brokers: string
  /** Bootstrap servers of each kind of listener, separated by commas. */
  readonly listeners: Listeners
  /** The authority that signed the brokers' certificates, in PEM; `undefined` without `sasl`. */
  readonly ca: string | undefined
}

/** What {@link startKafka} starts. */
export interface KafkaOptions {
  /** An Apache Kafka release; 4.3.0 by default. */
  readonly version?: string
  /** One by default. With three, topics have three replicas of which two must be in sync, unless they say otherwise. */
  readonly brokers?: 1 | 3
  /** Whether there are TLS and SASL listeners beside the plaintext one. */
  readonly sasl?: boolean
  /**
   * Where the plaintext listener of each broker is said to be, as `host:port`: a proxy of the test's own. Brokers, and who
   * bootstraps from `listeners.internal`, find each other without it.
   */
  readonly advertised?: ReadonlyArray<string>
  /** Heap of each broker, as `-Xmx` takes it; `512m` by default, `384m` with three brokers. */
  readonly heap?: string
  /** `broker.rack` of each broker; none by default. */
  readonly racks?: ReadonlyArray<string>
  /** Settings of the brokers that win over those of the tests. */
  readonly properties?: Readonly<Record<string, string | number | boolean>>
}

/** A running cluster. Its brokers are named 1, 2 and 3. */
export interface KafkaCluster extends KafkaAddresses {
  readonly version: string
  readonly ids: ReadonlyArray<number>
  /** Ends a broker at once (SIGKILL), without a controlled shutdown; its data stays. */
  readonly kill: (id: number) => Promise<void>
  /** Ends a broker as an operator does (SIGTERM): it hands over its leaderships first. */
  readonly shutdown: (id: number) => Promise<void>
  /** Starts a broker that was ended, with its data and on its ports, and waits until the whole cluster knows it. */
  readonly start: (id: number) => Promise<void>
  /** Freezes a broker (SIGSTOP), and returns when it has stopped: its connections stay open and nothing answers. */
  readonly pause: (id: number) => void
  /** Lets a frozen broker run on (SIGCONT). */
  readonly resume: (id: number) => void
  /** The newest log lines of a broker, warnings and errors for the most part. */
  readonly log: (id: number) => string
  /** Ends all brokers and deletes their data. */
  readonly stop: () => Promise<void>
}

const startTimeout = 120_000
const logLines = 400

/** Whether all threads of a process have stopped; elsewhere than on Linux, whether the process has. */
const hasStopped = (pid: number): boolean => {
  const threads = `/proc/${pid}/task`
  if (!existsSync(threads)) {
    return spawnSync("ps", ["-o", "state=", "-p", `${pid}`], { encoding: "utf8" }).stdout.startsWith("T")
  }
  try {
    // The state follows the program's name, which is in parentheses.
    return readdirSync(threads).every((thread) => /\) T /.test(readFileSync(`${threads}/${thread}/stat`, "latin1")))
  } catch {
    // A thread has ended meanwhile.
    return false
  }
}

/** On a busy machine a process answers for some milliseconds more after SIGSTOP was sent. */
const untilStopped = (pid: number): void => {
  const end = performance.now() + 10_000
  while (!hasStopped(pid)) {
    if (performance.now() > end) throw new Error(`process ${pid} has not stopped`)
  }
}

/** A broker's settings and, while it runs, its process. */
interface Broker {
  readonly id: number
  readonly ports: {
    readonly plaintext: number
    readonly controller: number
    readonly saslSsl: number
    readonly ssl: number
    readonly saslPlaintext: number
    readonly internal: number
  }
  /** What clients of the plaintext listener are told, where that is another address. */
  readonly advertised: string | undefined
  readonly home: string
  readonly log: Array<string>
  process: ChildProcess | undefined
}

const runs = (process: ChildProcess): boolean => process.exitCode === null && process.signalCode === null

const ended = (process: ChildProcess): Promise<void> =>
  new Promise((resolve) => runs(process) ? process.once("exit", () => resolve()) : resolve())

// --- what must not outlive this process ---------------------------------------------------------------------------

const liveProcesses = new Set<ChildProcess>()
const liveFolders = new Set<string>()
let cleansAtExit = false

const cleanAtExit = (): void => {
  if (cleansAtExit) return
  cleansAtExit = true
  // A worker of vitest outlives a runner that is killed, as one is whose time is over.
  process.once("disconnect", () => process.exit(1))
  process.on("exit", () => {
    for (const child of liveProcesses) child.kill("SIGKILL")
    for (const folder of liveFolders) rmSync(folder, { recursive: true, force: true })
  })
}

/** A frozen broker cannot notice that its parent is gone: the handler of "exit" must run. */
const exitOnTerminate = (): void => {
  if (process.listenerCount("SIGTERM") === 0) process.once("SIGTERM", () => process.exit(143))
}

// --- settings -----------------------------------------------------------------------------------------------------

const oauthBearer = "org.apache.kafka.common.security.oauthbearer"

const saslProperties = (listener: string): Record<string, string> => {
  const prefix = `listener.name.${listener}`
  const users = Object.entries(saslUsers).map(([name, password]) => `user_${name}="${password}"`).join(" ")
  const scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
  const unsecured = `${oauthBearer}.internals.unsecured`
  return {
    [`${prefix}.sasl.enabled.mechanisms`]: "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
    [`${prefix}.plain.sasl.jaas.config`]: `org.apache.kafka.common.security.plain.PlainLoginModule required ${users};`,
    [`${prefix}.scram-sha-256.sasl.jaas.config`]: scram,
    [`${prefix}.scram-sha-512.sasl.jaas.config`]: scram,
    [`${prefix}.oauthbearer.sasl.jaas.config`]:
      `${oauthBearer}.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";`,
    // Kafka 4 has no default for the broker's own token.
    [`${prefix}.oauthbearer.sasl.login.callback.handler.class`]:
      `${unsecured}.OAuthBearerUnsecuredLoginCallbackHandler`,
    [`${prefix}.oauthbearer.sasl.server.callback.handler.class`]:
      `${unsecured}.OAuthBearerUnsecuredValidatorCallbackHandler`
  }
}

const tlsProperties = (stores: Certificates): Record<string, string> => ({
  "ssl.keystore.type": "PKCS12",
  "ssl.keystore.location": stores.serverStore,
  "ssl.keystore.password": storePassword,
  "ssl.key.password": storePassword,
  "ssl.truststore.type": "PKCS12",
  "ssl.truststore.location": stores.trustStore,
  "ssl.truststore.password": storePassword,
  "listener.name.ssl.ssl.client.auth": "requested"
})

const brokerProperties = (
  broker: Broker,
  brokers: ReadonlyArray<Broker>,
  stores: Certificates | undefined,
  overrides: Readonly<Record<string, string | number | boolean>>
): string => {
  const { ports } = broker
  const replicas = brokers.length
  // Clients check the name in the certificate, as they do in production.
  const secured = stores === undefined ? [] : [
    `SASL_SSL://localhost:${ports.saslSsl}`,
    `SSL://localhost:${ports.ssl}`,
    `SASL_PLAINTEXT://127.0.0.1:${ports.saslPlaintext}`
  ]
  const isProxied = broker.advertised !== undefined
  const plaintext = `PLAINTEXT://127.0.0.1:${ports.plaintext}`
  const internal = isProxied ? [`INTERNAL://127.0.0.1:${ports.internal}`] : []
  const advertised = [isProxied ? `PLAINTEXT://${broker.advertised}` : plaintext, ...internal, ...secured]
  const listening = [plaintext, ...internal, ...secured, `CONTROLLER://127.0.0.1:${ports.controller}`].map((listener) =>
    listener.replace("localhost", "127.0.0.1")
  )
  const properties: Record<string, string | number | boolean> = {
    "process.roles": "broker,controller",
    "node.id": broker.id,
    "log.dirs": join(broker.home, "data"),
    "listeners": listening.join(","),
    "advertised.listeners": advertised.join(","),
    "listener.security.protocol.map":
      "PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": isProxied ? "INTERNAL" : "PLAINTEXT",
    "controller.listener.names": "CONTROLLER",
    "controller.quorum.voters": brokers.map(({ id, ports }) => `${id}@127.0.0.1:${ports.controller}`).join(","),

    // Topics: none by accident, and nothing is deleted by age.
    "auto.create.topics.enable": false,
    "num.partitions": 1,
    "default.replication.factor": replicas,
    "min.insync.replicas": replicas === 3 ? 2 : 1,
    "log.retention.ms": -1,
    "log.cleaner.dedupe.buffer.size": 4 * 1024 * 1024,
    "log.cleaner.backoff.ms": 500,

    // Groups and transactions: small internal topics, no waiting.
    "offsets.topic.num.partitions": 4,
    "offsets.topic.replication.factor": replicas,
    "transaction.state.log.num.partitions": 4,
    "transaction.state.log.replication.factor": replicas,
    "transaction.state.log.min.isr": replicas === 3 ? 2 : 1,
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": 500,
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 500,

    // A broker that stops answering is noticed in seconds, not in ten.
    "broker.heartbeat.interval.ms": 500,
    "broker.session.timeout.ms": 4_000,

    // A few threads each: three brokers share a small machine.
    "num.network.threads": 2,
    "num.io.threads": 4,
    "background.threads": 2,
    "num.recovery.threads.per.data.dir": 1,

    ...(stores === undefined ? {} : {
      ...tlsProperties(stores),
      ...saslProperties("sasl_ssl"),
      ...saslProperties("sasl_plaintext")
    }),
    ...overrides
  }
  return Object.entries(properties).map(([name, value]) => `${name}=${value}\n`).join("")
}

// --- one broker ---------------------------------------------------------------------------------------------------

/** What `kafka-storage format` is told beside the properties file. */
const formatArguments = (clusterId: string, sasl: boolean): ReadonlyArray<string> => [
  "--cluster-id",
  clusterId,
  ...(sasl ? ["SCRAM-SHA-256", "SCRAM-SHA-512"] : []).flatMap((mechanism) =>
    Object.entries(saslUsers).flatMap(([name, password]) => [
      "--add-scram",
      `${mechanism}=[name=${name},password=${password}]`
    ])
  )
]

const spawnBroker = async (broker: Broker, version: string, heap: string, format: ReadonlyArray<string>) => {
  const { classPath, mainClass } = await javaProgram("Broker.java", version)
  const isNew = !existsSync(join(broker.home, "data", "meta.properties"))
  const child = spawn("java", [
    `-Xms${heap}`,
    `-Xmx${heap}`,
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
    "-cp",
    classPath,
    mainClass,
    join(broker.home, "server.properties"),
    broker.home,
    ...(isNew ? format : [])
  ], { cwd: broker.home, stdio: ["pipe", "pipe", "pipe"] })
  broker.process = child
  liveProcesses.add(child)
  child.once("exit", () => liveProcesses.delete(child))
  child.once("error", (error) => broker.log.push(String(error)))
  child.stdin.on("error", () => {})
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on("line", (line) => {
      broker.log.push(line)
      if (broker.log.length > logLines) broker.log.shift()
    })
  }
}

/** Metadata v4 for no topics, header version 1: the answer lists the brokers that are alive. */
const metadataRequest = (() => {
  const clientId = Buffer.from("sluice-test")
  const body = Buffer.alloc(8 + 2 + clientId.length + 5)
  body.writeInt16BE(3, 0)
  body.writeInt16BE(4, 2)
  body.writeInt32BE(1, 4)
  body.writeInt16BE(clientId.length, 8)
  clientId.copy(body, 10)
  const frame = Buffer.alloc(4 + body.length)
  frame.writeInt32BE(body.length, 0)
  body.copy(frame, 4)
  return frame
})()

/** How many live brokers the broker on that port knows; 0 while it does not answer. */
const brokersKnownTo = (port: number): Promise<number> =>
  new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" })
    let received = Buffer.alloc(0)
    const finish = (count: number) => {
      socket.destroy()
      resolve(count)
    }
    socket.setTimeout(2_000, () => finish(0))
    socket.once("error", () => finish(0))
    socket.once("close", () => finish(0))
    socket.once("connect", () => socket.write(metadataRequest))
    socket.on("data", (bytes) => {
      received = Buffer.concat([received, bytes])
      // Size, correlation id, throttle time, then the array of brokers.
      if (received.length >= 16) finish(received.readInt32BE(12))
    })
  })

const startFailure = (broker: Broker, reason: string): Error =>
  new Error(`Kafka broker ${broker.id} ${reason}. Its log ends:\n${broker.log.slice(-60).join("\n")}`)

/** Waits until each of these brokers lists that many live ones. */
const ready = async (brokers: ReadonlyArray<Broker>, live: number): Promise<void> => {
  const deadline = Date.now() + startTimeout
  for (const broker of brokers) {
    while (await brokersKnownTo(broker.ports.plaintext) < live) {
      const failed = brokers.find(({ process }) => process === undefined || !runs(process))
      if (failed !== undefined) throw startFailure(failed, `ended with ${failed.process?.exitCode ?? "a signal"}`)
      if (Date.now() > deadline) throw startFailure(broker, `was not up after ${startTimeout} ms`)
      await sleep(50)
    }
  }
}

// --- the cluster --------------------------------------------------------------------------------------------------

/** Memory where there is plenty of it (in a container it is often 64 MB), else the folder for temporary files. */
const dataParent = (): string => {
  try {
    const { bavail, bsize } = statfsSync("/dev/shm")
    if (bavail * bsize >= 2 * 1024 ** 3) return "/dev/shm"
  } catch {
    // No such folder on this system.
  }
  return tmpdir()
}

const portInUse = (broker: Broker): boolean => broker.log.some((line) => line.includes("Address already in use"))

const tryToStart = async (options: KafkaOptions): Promise<KafkaCluster | "ports taken"> => {
  const { advertised, brokers: count = 1, properties = {}, sasl = false, version = defaultKafkaVersion } = options
  const heap = options.heap ?? (count === 3 ? "384m" : "512m")
  const stores = sasl ? await certificates() : undefined
  const folder = await mkdtemp(join(dataParent(), "sluice-kafka-"))
  cleanAtExit()
  liveFolders.add(folder)

  const ports = await freePorts(6 * count)
  const brokers = Array.from({ length: count }, (_, index): Broker => {
    const [plaintext, controller, saslSsl, ssl, saslPlaintext, internal] = ports.slice(6 * index, 6 * index + 6) as [
      number,
      number,
      number,
      number,
      number,
      number
    ]
    return {
      id: index + 1,
      ports: { plaintext, controller, saslSsl, ssl, saslPlaintext, internal },
      advertised: advertised?.[index],
      home: join(folder, String(index + 1)),
      log: [],
      process: undefined
    }
  })
  const format = formatArguments(randomBytes(16).toString("base64url").replaceAll("-", "_"), sasl)

  const brokerOf = (id: number): Broker => {
    const broker = brokers[id - 1]
    if (broker === undefined) throw new Error(`There is no broker ${id}: they are 1 to ${count}`)
    return broker
  }
  const running = (): ReadonlyArray<Broker> => brokers.filter(({ process }) => process !== undefined && runs(process))
  const signal = (id: number, name: NodeJS.Signals): void => {
    if (brokerOf(id).process?.kill(name) !== true) throw new Error(`Broker ${id} does not run`)
  }
  const kill = async (id: number): Promise<void> => {
    const { process } = brokerOf(id)
    if (process === undefined) return
    process.kill("SIGKILL")
    await ended(process)
  }
  const stop = async (): Promise<void> => {
    // The data goes, so there is nothing to shut down properly; SIGKILL ends a frozen broker too.
    await Promise.all(brokers.map(({ id }) => kill(id)))
    await rm(folder, { recursive: true, force: true })
    liveFolders.delete(folder)
  }
  const bootstrap = (host: string, listener: keyof Broker["ports"]): string =>
    brokers.map((broker) => `${host}:${broker.ports[listener]}`).join(",")

  try {
    for (const broker of brokers) {
      await mkdir(broker.home, { recursive: true })
      const rack = options.racks?.[broker.id - 1]
      const own = rack === undefined ? properties : { "broker.rack": rack, ...properties }
      await writeFile(join(broker.home, "server.properties"), brokerProperties(broker, brokers, stores, own))
    }
    await Promise.all(brokers.map((broker) => spawnBroker(broker, version, heap, format)))
    await ready(brokers, count)
  } catch (error) {
    await stop()
    if (brokers.some(portInUse)) return "ports taken"
    throw error
  }

  return {
    version,
    ids: brokers.map(({ id }) => id),
    brokers: bootstrap("127.0.0.1", "plaintext"),
    listeners: {
      plaintext: bootstrap("127.0.0.1", "plaintext"),
      ...(advertised === undefined ? {} : { internal: bootstrap("127.0.0.1", "internal") }),
      ...(sasl
        ? {
          saslSsl: bootstrap("localhost", "saslSsl"),
          ssl: bootstrap("localhost", "ssl"),
          saslPlaintext: bootstrap("127.0.0.1", "saslPlaintext")
        }
        : {})
    },
    ca: stores?.ca,
    kill,
    shutdown: async (id) => {
      signal(id, "SIGTERM")
      await ended(brokerOf(id).process!)
    },
    start: async (id) => {
      const broker = brokerOf(id)
      if (broker.process !== undefined && runs(broker.process)) throw new Error(`Broker ${id} runs already`)
      await spawnBroker(broker, version, heap, format)
      await ready(running(), running().length)
    },
    pause: (id) => {
      exitOnTerminate()
      signal(id, "SIGSTOP")
      untilStopped(brokerOf(id).process!.pid!)
    },
    resume: (id) => signal(id, "SIGCONT"),
    log: (id) => brokerOf(id).log.join("\n"),
    stop
  }
}

/**
 * Starts a cluster and waits until every broker answers and knows all the others. The first run downloads Kafka.
 * `stop` ends it; so does the end of this process, however it comes.
 */
export const startKafka = async (options: KafkaOptions = {}): Promise<KafkaCluster> => {
  for (let attempt = 0; attempt < 3; attempt++) {
    const cluster = await tryToStart(options)
    if (cluster !== "ports taken") return cluster
  }
  throw new Error("Ports that were free were taken before Kafka could listen on them, three times")
}

/** An unsecured token (RFC 7515, algorithm `none`) that the brokers' OAUTHBEARER accepts, valid for that many seconds. */
export const unsecuredToken = (subject: string, lifetimeSeconds: number = 3_600): string => {
  const now = Math.floor(Date.now() / 1_000)
  const part = (content: object): string => Buffer.from(JSON.stringify(content)).toString("base64url")
  return `${part({ alg: "none" })}.${part({ sub: subject, iat: now, exp: now + lifetimeSeconds })}.`
}
