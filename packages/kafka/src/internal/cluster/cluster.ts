import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"

import { FatalError, type KafkaError, RetriableError } from "../../KafkaError.ts"
import type { BrokerAddress, Transport } from "../../Transport.ts"
import { closed, formatAddress, fromCode, isFatal } from "../errors.ts"
import { detached } from "../fiber.ts"
import {
  type ClusterMetadata,
  empty,
  type PartitionMetadata,
  type TopicMetadata,
  update
} from "../kernel/clusterMetadata.ts"
import { errorOf } from "../kernel/errors.ts"
import { validateTopicName } from "../kernel/topicName.ts"
import { FindCoordinator } from "../protocol/api/findCoordinator.ts"
import { Metadata } from "../protocol/api/metadata.ts"
import { zeroUuid } from "../protocol/field.ts"
import type { BrokerConnection } from "./connection.ts"
import { type ConnectionPool, makePool } from "./pool.ts"
import { pause, retrying } from "./retry.ts"
import type { Settings } from "./settings.ts"

/** What all producers and consumers of one client share: the view of the cluster, and how to reach it. */
export interface Cluster {
  readonly settings: Settings
  /** The newest view; no I/O. */
  readonly metadata: () => ClusterMetadata
  /** Asks the cluster again for every topic in use. Calls at the same time share one request, sent after the call. */
  readonly refresh: Effect.Effect<void, KafkaError>
  /** A topic with its partitions; asks the cluster if it is not known. An unknown topic fails after a few attempts. */
  readonly topic: (name: string) => Effect.Effect<TopicMetadata, KafkaError>
  /** The names of all topics that this client may see, Kafka's internal ones aside. Always asks. */
  readonly topicNames: Effect.Effect<ReadonlyArray<string>, KafkaError>
  /** The broker's address by its id, if it is in the view. */
  readonly address: (brokerId: number) => BrokerAddress | undefined
  /** Where the group's coordinator is now. Always asks, each broker once at most: whoever needs it tries again, and says so. */
  readonly coordinator: (groupId: string) => Effect.Effect<BrokerAddress, KafkaError>
  /** Runs a request on any broker that answers. */
  readonly anyBroker: <A>(
    operation: string,
    use: (connection: BrokerConnection) => Effect.Effect<A, KafkaError>
  ) => Effect.Effect<A, KafkaError>
  /** Runs a request on the controller, which takes changes to topics; looks it up again when it has moved. */
  readonly controller: <A>(
    operation: string,
    use: (connection: BrokerConnection) => Effect.Effect<A, KafkaError>
  ) => Effect.Effect<A, KafkaError>
  /** Connections for one purpose of one producer or consumer. */
  readonly makePool: Effect.Effect<ConnectionPool, never, Scope.Scope>
}

/** A topic may have been created a moment ago: brokers learn of it one after the other. */
const unknownTopicAttempts = 5

/** The client's core. Opens nothing before it is first used. */
export const make = (
  transport: Transport["Type"],
  settings: Settings
): Effect.Effect<Cluster, never, Scope.Scope> =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    const pool = yield* makePool(transport, settings)
    /** Topics that every refresh asks for: those that were found, and those that somebody looks for now. */
    const inUse = new Set<string>()
    const found = new Set<string>()
    /** Addresses that failed when they were last tried; a broker that hangs costs a whole timeout. */
    const suspects = new Set<string>()
    let view: ClusterMetadata = empty
    let running: Deferred.Deferred<void, KafkaError> | undefined
    let queued: Deferred.Deferred<void, KafkaError> | undefined
    const lookups = new Map<string, Deferred.Deferred<TopicMetadata, KafkaError>>()

    const candidates = (): ReadonlyArray<BrokerAddress> => {
      const all = new Map<string, BrokerAddress>()
      for (const broker of view.brokers.values()) all.set(formatAddress(broker), broker)
      for (const address of settings.bootstrap) all.set(formatAddress(address), address)
      return Array.from(all.values())
    }

    /** One round over every address known. Fails fatally only if no address leaves hope. */
    const oneRound = <A>(
      use: (connection: BrokerConnection) => Effect.Effect<A, KafkaError>
    ): Effect.Effect<A, KafkaError> =>
      Effect.gen(function*() {
        const isSuspect = (address: BrokerAddress) => suspects.has(formatAddress(address))
        const [trusted, suspected] = Chunk.partition(yield* Random.shuffle(candidates()), isSuspect)
        const errors: Array<KafkaError> = []
        for (const address of Chunk.appendAll(trusted, suspected)) {
          const result = yield* Effect.either(Effect.flatMap(pool.get(address), use))
          if (result._tag === "Right") {
            suspects.delete(formatAddress(address))
            return result.right
          }
          // A broker that answers is well, and another one would answer the same.
          if (result.left.reason.code !== undefined) return yield* Effect.fail(result.left)
          suspects.add(formatAddress(address))
          errors.push(result.left)
        }
        return yield* Effect.fail(summary(errors))
      })

    const anyBroker: Cluster["anyBroker"] = (operation, use) =>
      retrying(settings, { operation, deadline: settings.apiTimeout }, () => oneRound(use))

    const fetchMetadata = anyBroker("Metadata", (connection) =>
      connection.request(Metadata, {
        topics: Array.from(inUse, (name) => ({ name })),
        allowAutoTopicCreation: false
      })).pipe(
        Effect.map((response) => {
          view = update(
            view,
            response.controllerId,
            response.brokers.map((broker) => ({ id: broker.nodeId, host: broker.host, port: broker.port })),
            response.topics.map(fromResponse)
          )
        })
      )

    /** Runs `self` in the client's own fiber, for any number of callers, none of whom ends it. `onEnd` comes before they hear of it. */
    const share = <A>(
      self: Effect.Effect<A, KafkaError>,
      done: Deferred.Deferred<A, KafkaError>,
      onEnd: Effect.Effect<void>
    ): Effect.Effect<void> =>
      Effect.interruptible(self).pipe(
        Effect.exit,
        Effect.zipLeft(onEnd),
        Effect.map((exit) => {
          Deferred.unsafeDone(done, Exit.isInterrupted(exit) ? Exit.fail(closed("client")) : exit)
        }),
        detached,
        Effect.forkIn(scope),
        // So that `done` is completed even if the scope closes before the fiber runs.
        Effect.uninterruptible,
        Effect.asVoid
      )

    /** One request at a time; who comes while one is under way waits for the next, whose answer is newer than the call. */
    const refresh: Effect.Effect<void, KafkaError> = Effect.uninterruptibleMask((restore) => {
      if (running === undefined) {
        const own = running = Deferred.unsafeMake<void, KafkaError>(FiberId.none)
        return Effect.zipRight(start(own), restore(Deferred.await(own)))
      }
      queued ??= Deferred.unsafeMake<void, KafkaError>(FiberId.none)
      return restore(Deferred.await(queued))
    })

    const start = (done: Deferred.Deferred<void, KafkaError>): Effect.Effect<void> =>
      share(
        fetchMetadata,
        done,
        Effect.suspend(() => {
          running = queued
          queued = undefined
          return running === undefined ? Effect.void : start(running)
        })
      )

    const topic = (name: string): Effect.Effect<TopicMetadata, KafkaError> => {
      const known = view.topics.get(name)
      if (known !== undefined && known.errorCode === 0 && known.partitions.length > 0) return Effect.succeed(known)
      const problem = validateTopicName(name)
      if (problem !== undefined) {
        return Effect.fail(
          new FatalError({ reason: { _tag: "InvalidTopicException", topic: name }, scope: "topic", message: problem })
        )
      }
      return Effect.uninterruptibleMask((restore) => {
        const current = lookups.get(name)
        if (current !== undefined) return restore(Deferred.await(current))
        const own = Deferred.unsafeMake<TopicMetadata, KafkaError>(FiberId.none)
        lookups.set(name, own)
        return Effect.zipRight(
          share(lookUp(name), own, Effect.sync(() => lookups.delete(name))),
          restore(Deferred.await(own))
        )
      })
    }

    const lookUp = (name: string): Effect.Effect<TopicMetadata, KafkaError> => {
      const ask = (attempt: number): Effect.Effect<TopicMetadata, KafkaError> =>
        Effect.flatMap(refresh, () => {
          const answer = view.topics.get(name)
          if (answer !== undefined && answer.errorCode === 0 && answer.partitions.length > 0) {
            found.add(name)
            return Effect.succeed(answer)
          }
          const code = answer === undefined || answer.errorCode === 0 ? unknownTopic : answer.errorCode
          if (errorOf(code).retriable && attempt < unknownTopicAttempts) {
            return Effect.zipRight(pause(settings, attempt), Effect.suspend(() => ask(attempt + 1)))
          }
          // It may be a typing error: asking for it with every refresh would go on for ever.
          if (!found.has(name)) inUse.delete(name)
          return Effect.fail(fromCode(code, {
            operation: "Metadata",
            scope: "topic",
            topic: name,
            detail: code === unknownTopic ? "it does not exist, or this client may not see it" : undefined
          }))
        })
      return Effect.suspend(() => {
        inUse.add(name)
        return ask(1)
      })
    }

    const topicNames = anyBroker("Metadata", (connection) =>
      connection.request(Metadata, { topics: null, allowAutoTopicCreation: false })).pipe(
        Effect.map((response) =>
          response.topics.flatMap(({ errorCode, isInternal, name }) =>
            errorCode === unknownTopic || isInternal || name === null ? [] : [name]
          )
        )
      )

    const coordinator = (groupId: string): Effect.Effect<BrokerAddress, KafkaError> =>
      oneRound((connection) =>
        Effect.flatMap(
          connection.request(
            FindCoordinator,
            (connection.version(FindCoordinator) ?? 0) >= 4
              ? { keyType: 0, coordinatorKeys: [groupId] }
              : { keyType: 0, key: groupId }
          ),
          (response) => {
            const found = response.coordinators[0] ?? response
            return found.errorCode === 0
              ? Effect.succeed({ host: found.host, port: found.port })
              : Effect.fail(fromCode(found.errorCode, {
                operation: `FindCoordinator of group ${groupId}`,
                scope: "client",
                detail: found.errorMessage
              }))
          }
        )
      )

    const controller: Cluster["controller"] = (operation, use) =>
      // The first look has a deadline of its own, and says better why it failed.
      Effect.zipRight(
        Effect.suspend(() =>
          view.controller === -1 ? refresh : Effect.void
        ),
        retrying(settings, { operation, deadline: settings.apiTimeout }, (attempt) =>
          Effect.gen(function*() {
            if (attempt > 1) yield* refresh
            const address = view.brokers.get(view.controller)
            if (address === undefined) {
              return yield* Effect.fail(fromCode(notController, { operation, scope: "client" }))
            }
            return yield* Effect.flatMap(pool.get(address), use)
          }))
      )

    yield* Effect.sleep(settings.metadataMaxAge).pipe(
      Effect.zipRight(Effect.suspend(() => inUse.size === 0 ? Effect.void : Effect.ignore(refresh))),
      Effect.forever,
      Effect.interruptible,
      detached,
      Effect.forkScoped
    )

    return {
      settings,
      metadata: () => view,
      refresh,
      topic: (name) => Effect.suspend(() => topic(name)),
      topicNames,
      address: (brokerId) => view.brokers.get(brokerId),
      coordinator,
      anyBroker,
      controller,
      makePool: makePool(transport, settings)
    }
  })

const unknownTopic = 3
const notController = 41

const fromResponse = (topic: {
  readonly name: string | null
  readonly topicId: string
  readonly errorCode: number
  readonly partitions: ReadonlyArray<{
    readonly partitionIndex: number
    readonly leaderId: number
    readonly leaderEpoch: number
  }>
}): TopicMetadata => {
  const partitions: Array<PartitionMetadata> = topic.partitions.map((partition) => ({
    partition: partition.partitionIndex,
    leader: partition.leaderId,
    leaderEpoch: partition.leaderEpoch
  }))
  partitions.sort((a, b) => a.partition - b.partition)
  return {
    name: topic.name ?? "",
    topicId: topic.topicId === zeroUuid ? undefined : topic.topicId,
    errorCode: topic.errorCode,
    partitions
  }
}

/** Trying again helps where at least one address was only out of reach. */
const summary = (errors: ReadonlyArray<KafkaError>): KafkaError => {
  const hopeless = errors.find((error) => isFatal(error) || error.reason._tag === "InvalidResponse")
  if (hopeless !== undefined && errors.every((error) => isFatal(error) || error.reason._tag === "InvalidResponse")) {
    return hopeless._tag === "FatalError" ? hopeless : new FatalError(hopeless)
  }
  const last = errors.findLast((error) => !isFatal(error)) ?? errors[errors.length - 1]!
  return last.reason._tag === "ConnectionLost" || last.reason._tag === "RequestTimeout"
    ? new RetriableError({
      reason: { ...last.reason, _tag: "BrokersUnavailable" },
      scope: "client",
      message: `no broker answers: ${last.message}`,
      cause: last
    })
    : last
}
