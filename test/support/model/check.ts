/** Runs the scripts of seeds on a model and a broker, and tells of what differs. */
import { DeleteTopics } from "@sluice/kafka/internal/protocol/api/deleteTopics"
import { FindCoordinator } from "@sluice/kafka/internal/protocol/api/findCoordinator"
import { InitProducerId } from "@sluice/kafka/internal/protocol/api/initProducerId"
import { Metadata } from "@sluice/kafka/internal/protocol/api/metadata"
import { OffsetFetch } from "@sluice/kafka/internal/protocol/api/offsetFetch"
import { type BrokerAddress, Transport, type TransportError } from "@sluice/kafka/Transport"
import { KafkaJs } from "@sluice/kafkajs"
import * as MemoryCluster from "@sluice/testing/MemoryCluster"
import { Effect, type Scope } from "effect"

import { uniqueName } from "../topics.ts"
import { replay, type Run, runScript, type Writer } from "./script.ts"
import { scriptOf, themeOf } from "./scripts.ts"
import { type Distortion, Side } from "./side.ts"

/** What the script of one seed has shown. */
export interface SeedResult {
  readonly seed: number
  readonly run: Run
}

/** What is compared. */
export interface Target {
  /** Bootstrap servers of the broker, separated by commas. */
  readonly brokers: string
  /** What becomes of the model's answers on the way: nothing, unless the comparison itself is tested. */
  readonly distort?: Distortion | undefined
}

const addressOf = (server: string): BrokerAddress => {
  const [host, port] = server.split(",")[0]!.split(":")
  return { host: host!, port: Number(port) }
}

const makeSides = (
  { brokers, distort }: Target
): Effect.Effect<{ readonly model: Side; readonly broker: Side }, TransportError, Scope.Scope> =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    const suffix = uniqueName("model")
    const { cluster, transport } = yield* MemoryCluster.make()
    const overTcp = yield* Effect.provide(Transport, KafkaJs.transport())
    return {
      model: new Side({ name: "model", suffix, transport, address: addressOf(cluster.bootstrap[0]!), scope, distort }),
      broker: new Side({ name: "broker", suffix, transport: overTcp, address: addressOf(brokers), scope })
    }
  })

const run = (target: Target, write: Writer): Effect.Effect<Run, TransportError> =>
  Effect.scoped(Effect.gen(function*() {
    const { broker, model } = yield* makeSides(target)
    // Also when it fails, or the test has taken too long.
    yield* Effect.addFinalizer(() => Effect.ignoreLogged(deleteOwnTopics(broker)))
    return yield* runScript(model, broker, write)
  }))

const deleteOwnTopics = (broker: Side): Effect.Effect<void, TransportError> =>
  Effect.gen(function*() {
    const { topics } = yield* broker.ask(100, Metadata, 12, { topics: null, allowAutoTopicCreation: false })
    const topicNames = topics.flatMap(({ name }) => name !== null && broker.names.isOwn(name) ? [name] : [])
    yield* broker.ask(100, DeleteTopics, 5, { topicNames, timeoutMs: 5000 })
  })

const triesToShorten = 60

/** Leaves out steps while the rest still differs in the same API's answer. */
const shorten = (target: Target, found: Run): Effect.Effect<Run, TransportError> =>
  Effect.gen(function*() {
    let best = found
    let tries = 0
    for (let size = Math.ceil(best.steps.length / 2); size >= 1; size = Math.floor(size / 2)) {
      for (let from = best.steps.length - 1 - size; from >= 0 && tries < triesToShorten; from -= size) {
        const steps = [...best.steps.slice(0, from), ...best.steps.slice(from + size)]
        const shorter = yield* run(target, replay(steps))
        tries++
        if (isAlike(shorter, found)) best = shorter
      }
    }
    return best
  })

const isAlike = (one: Run, other: Run): boolean => kindOf(one) === kindOf(other)

/** What differs, whatever the step and the values. */
const kindOf = ({ differences: [first = ""] }: Run): string =>
  first.replace(/step \d+/, "").replaceAll(/\d+/g, "#").replace(/: model .*/, "")

/** Runs the script of a seed. */
export const checkSeed = (target: Target, seed: number): Effect.Effect<SeedResult, TransportError> =>
  run(target, scriptOf(seed)).pipe(
    Effect.map((result) => ({ seed, run: result })),
    Effect.tapErrorCause(() => Effect.sync(() => console.error(`The script of seed ${seed} failed`)))
  )

/** What to read where scripts differ: one line for each, and one script in full for each of a few kinds of difference. */
export const explain = (
  target: Target,
  results: ReadonlyArray<SeedResult>
): Effect.Effect<string, TransportError> =>
  Effect.gen(function*() {
    const kinds = new Map(results.map((result) => [kindOf(result.run), result]))
    const examples = yield* Effect.forEach(
      Array.from(kinds.values()).slice(0, kindsInFull),
      ({ run: found, seed }) => Effect.map(shorten(target, found), (shorter) => report(seed, found, shorter))
    )
    const lines = results.map(({ run: { differences }, seed }) =>
      `  seed ${seed} (${themeOf(seed)}): ${differences[0]}`
    )
    return [`${results.length} scripts differ:`, ...lines, "", ...examples].join("\n")
  })

const kindsInFull = 4

const report = (seed: number, found: Run, shorter: Run): string =>
  [
    `The model and the broker differ at step ${found.steps.length} of seed ${seed} (${themeOf(seed)}):`,
    ...found.differences.map((difference) => `  ${difference}`),
    `Shortened to ${shorter.steps.length} steps (run it again with MODEL_SEED=${seed}):`,
    ...shorter.transcript,
    ...shorter.differences.map((difference) => `  ${difference}`)
  ].join("\n")

/** A broker makes its topic of offsets, and gets producer ids to give out, when it is first asked: waits until it has. */
export const prepareBroker = (brokers: string): Effect.Effect<void, TransportError> =>
  Effect.scoped(Effect.gen(function*() {
    const { broker } = yield* makeSides({ brokers })
    for (let attempt = 0; attempt < 200; attempt++) {
      const groups = Array.from({ length: 40 }, (_, index) => `${broker.names.of("prepare")}-${index}`)
      const found = yield* broker.ask(0, FindCoordinator, 4, { keyType: 0, coordinatorKeys: groups })
      const producer = yield* broker.ask(0, InitProducerId, 4, { transactionalId: null, transactionTimeoutMs: 60_000 })
      if (producer.errorCode === 0 && found.coordinators.every(({ errorCode }) => errorCode === 0)) {
        const offsets = yield* broker.ask(0, OffsetFetch, 8, {
          groups: groups.map((groupId) => ({ groupId, topics: null }))
        })
        if (offsets.groups.every(({ errorCode }) => errorCode === 0)) return
      }
      yield* Effect.sleep("50 millis")
    }
    return yield* Effect.dieMessage("The broker has no coordinators")
  }))
