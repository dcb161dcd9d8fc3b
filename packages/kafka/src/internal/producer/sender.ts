import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

import { type KafkaError, RetriableError } from "../../KafkaError.ts"
import type { BrokerTrouble } from "../../Producer.ts"
import { Alarm } from "../alarm.ts"
import type { BrokerConnection } from "../cluster/connection.ts"
import type { ConnectionPool } from "../cluster/pool.ts"
import { pause, pauseMillis } from "../cluster/retry.ts"
import { formatAddress, fromCode, isFatal, withPersisted } from "../errors.ts"
import { Fibers } from "../fiber.ts"
import { builtInCodecs } from "../kernel/compression.ts"
import type { Batch } from "../kernel/partitionBuffer.ts"
import { produceOutcome } from "../kernel/produceOutcome.ts"
import { decodeRecords } from "../kernel/records.ts"
import { Latch } from "../latch.ts"
import { InitProducerId } from "../protocol/api/initProducerId.ts"
import { Produce } from "../protocol/api/produce.ts"
import type { ResponseOf } from "../protocol/field.ts"
import type { Entry } from "./entry.ts"
import { failure, type ProducerEngine } from "./producer.ts"

/** Room for the batches of one request: brokers take 100 MiB, but other partitions wait behind it. */
const maxRequestBytes = 8 * 1024 * 1024

/** What the fibers of one broker share. */
class BrokerSender {
  /** Open while there may be something to send. */
  readonly latch = new Latch(true)
  /** Opens the latch when a batch has waited for long enough. */
  readonly alarm: Alarm
  /** The requests in flight over the connection that is used now. */
  line: Line | undefined
  /** Why it cannot be reached at the moment. */
  error: KafkaError | undefined

  constructor(clock: Clock.Clock) {
    this.alarm = new Alarm(clock, Effect.sync(() => this.latch.open()))
  }

  /** How many requests are in flight. */
  get inFlight(): number {
    return this.line?.requests.length ?? 0
  }
}

/** The requests in flight over one connection, whose answers come in their order. */
class Line {
  readonly connection: BrokerConnection
  /** Oldest first. */
  readonly requests: Array<Request> = []
  /** Open while there are any, and when no more will come. */
  readonly latch = new Latch(false)
  /** Whether another connection has taken its place. */
  isOver = false

  constructor(connection: BrokerConnection) {
    this.connection = connection
  }
}

interface Request {
  readonly batches: ReadonlyArray<Batch<Entry>>
  /** Waits for the answer, and handles it. */
  readonly answer: Effect.Effect<void>
}

const logDefect = (defect: unknown): Effect.Effect<void> => Effect.logError("a defect in the producer", defect)

/**
 * The fibers that send: for each broker one that writes requests, one for each
 * of its connections that handles the answers, and an alarm; one that starts
 * those and follows the leaders; one that asks for new metadata; one that keeps
 * the deadlines.
 */
export class Sender {
  readonly #engine: ProducerEngine<any>
  readonly #pool: ConnectionPool
  readonly #fibers = new Fibers()
  readonly #brokers = new Map<number, BrokerSender>()
  /** Open while a partition has something to send and its broker may have no sender. */
  readonly #routing = Effect.unsafeMakeLatch(false)
  /** Open while the view of the cluster is known to be old. */
  readonly #outdated = Effect.unsafeMakeLatch(false)
  #isOutdated = false
  /** Open while there are batches, which have deadlines. */
  readonly #pending = Effect.unsafeMakeLatch(false)

  constructor(engine: ProducerEngine<any>, pool: ConnectionPool) {
    this.#engine = engine
    this.#pool = pool
  }

  /** Gets the producer id and starts the fibers. */
  readonly start: Effect.Effect<void, KafkaError> = Effect.suspend(() =>
    Effect.zipRight(
      this.#engine.settings.idempotent ? this.#initProducerId : Effect.void,
      Effect.forEach([this.#route, this.#refresh, this.#expire], (step) => this.#forkLoop(step), { discard: true })
    )
  )

  /** Nothing is written after it. */
  readonly stop: Effect.Effect<void> = Effect.suspend(() => this.#fibers.interruptAll("1 second"))

  /** A partition of this broker has something to send. */
  wake(leader: number): void {
    this.#pending.unsafeOpen()
    const broker = this.#brokers.get(leader)
    if (broker === undefined) this.#routing.unsafeOpen()
    else broker.latch.open()
  }

  /** Leaders that could not be reached with what is to be sent to them, and why. */
  unreachable(): ReadonlyArray<BrokerTrouble> {
    const leaders = new Set(Array.from(this.#engine.accumulator.active, ({ leader }) => leader))
    const troubles: Array<BrokerTrouble> = []
    for (const [id, { error }] of this.#brokers) {
      const address = this.#engine.cluster.address(id)
      if (error === undefined || address === undefined || !leaders.has(id)) continue
      troubles.push({ broker: formatAddress(address), error })
    }
    return troubles
  }

  readonly #initProducerId: Effect.Effect<void, KafkaError> = Effect.suspend(() => {
    const { accumulator, cluster } = this.#engine
    return cluster.anyBroker("InitProducerId", (connection) =>
      Effect.flatMap(
        connection.request(InitProducerId, { transactionalId: null, transactionTimeoutMs: 0 }),
        (response) =>
          response.errorCode === 0
            ? Effect.sync(() => {
              accumulator.identity = { producerId: response.producerId, epoch: response.producerEpoch }
            })
            : Effect.fail(fromCode(response.errorCode, { operation: "InitProducerId", scope: "client" }))
      ))
  })

  /** Repeats a step until the sender is stopped; a defect ends neither it nor what it serves. */
  #forkLoop(step: Effect.Effect<unknown>): Effect.Effect<unknown> {
    return this.#fibers.fork(Effect.forever(Effect.catchAllDefect(
      step,
      (defect) => Effect.zipRight(logDefect(defect), pause(this.#engine.cluster.settings, 1))
    )))
  }

  /** Starts a sender for each leader, and asks for metadata while a partition has none. */
  readonly #route: Effect.Effect<void> = Effect.suspend(() => {
    this.#routing.unsafeClose()
    const { accumulator, cluster } = this.#engine
    this.#engine.topics.relearn()
    const missing: Array<number> = []
    for (const { leader } of accumulator.active) {
      if (leader === -1 || cluster.address(leader) === undefined) this.#askAgain()
      else if (!this.#brokers.has(leader)) missing.push(leader)
      else this.#brokers.get(leader)!.latch.open()
    }
    return Effect.zipRight(
      Effect.forEach(new Set(missing), (leader) => {
        const broker = new BrokerSender(this.#engine.clock)
        this.#brokers.set(leader, broker)
        return Effect.forEach(
          [this.#send(leader, broker), broker.alarm.run],
          (step) => this.#forkLoop(step),
          { discard: true }
        )
      }, { discard: true }),
      this.#routing.await
    )
  })

  readonly #refresh: Effect.Effect<void> = Effect.gen(this, function*() {
    yield* this.#outdated.await
    for (let attempt = 1; this.#isOutdated; attempt++) {
      this.#isOutdated = false
      this.#outdated.unsafeClose()
      const refreshed = yield* Effect.either(this.#engine.cluster.refresh)
      if (refreshed._tag === "Left") {
        yield* Effect.logDebug(`metadata cannot be refreshed: ${refreshed.left.message}`)
      }
      this.#routing.unsafeOpen()
      yield* pause(this.#engine.cluster.settings, attempt)
    }
  })

  /** The view of the cluster is known to be old. */
  #askAgain(): void {
    this.#isOutdated = true
    this.#outdated.unsafeOpen()
  }

  /** Fails what is past its deadline; in flight it may have been written. */
  readonly #expire: Effect.Effect<void> = Effect.suspend(() => {
    const { accumulator, now, settings } = this.#engine
    const next = accumulator.nextDeadline()
    if (next === Infinity) {
      this.#pending.unsafeClose()
      return this.#pending.await
    }
    if (next > now()) return Effect.sleep(next - now())
    return Effect.forEach(accumulator.expired(now()), (batch) => {
      const cause = batch.lastError ?? batch.partition.lastError
      return this.#fail(
        batch,
        new RetriableError({
          reason: {
            _tag: "DeliveryTimeout",
            topic: batch.partition.topic,
            partition: batch.partition.partition
          },
          scope: "partition",
          message: `not acknowledged within ${
            Duration.format(settings.deliveryTimeout)
          } (topic ${batch.partition.topic}, partition ${batch.partition.partition})${
            cause === undefined ? "" : `; last: ${cause.message}`
          }`,
          cause
        }),
        batch.maybeWritten || batch.inFlight ? "maybe" : "no"
      )
    }, { discard: true })
  })

  /** Sends to one broker what is ready, in one request, or waits until something is. */
  #send(id: number, broker: BrokerSender): Effect.Effect<void> {
    const { accumulator, cluster, now, settings } = this.#engine
    let failures = 0
    /** Until there may be something to send; what comes meanwhile opens the latch. */
    const wait = Effect.suspend(() => {
      if (broker.inFlight < settings.maxInFlight) {
        const next = accumulator.nextReady(id, now())
        if (next <= now()) return Effect.void
        broker.alarm.set(next)
      }
      return broker.latch.await
    })
    return Effect.gen(this, function*() {
      // The loop has yielded: whoever was about to send gets into this batch.
      broker.latch.close()
      this.#engine.topics.relearn()
      if (broker.inFlight >= settings.maxInFlight || accumulator.nextReady(id, now()) > now()) {
        return yield* wait
      }
      const address = cluster.address(id)
      if (address === undefined) {
        this.#askAgain()
        return yield* broker.latch.await
      }
      if (settings.idempotent && accumulator.identity === undefined) {
        const identified = yield* Effect.either(this.#initProducerId)
        if (identified._tag === "Left") {
          yield* this.#unreachable(id, identified.left)
          broker.latch.open()
          return yield* pause(cluster.settings, 1)
        }
      }
      const connected = yield* Effect.either(this.#pool.get(address))
      if (connected._tag === "Left") {
        broker.error = connected.left
        yield* this.#unreachable(id, connected.left)
        this.#askAgain()
        failures++
        yield* pause(cluster.settings, failures)
        broker.latch.open()
        return
      }
      failures = 0
      this.#reached(id, broker)
      const connection = connected.right
      if (broker.line?.connection !== connection) {
        if (broker.line !== undefined) {
          broker.line.isOver = true
          broker.line.latch.open()
        }
        broker.line = new Line(connection)
        yield* this.#fibers.fork(this.#handleAnswers(id, broker, broker.line))
      }
      const { latch, requests } = broker.line
      // Not with batches in hand, which would count as written.
      yield* connection.unthrottled
      const batches = accumulator.drain(id, now(), maxRequestBytes)
      if (batches.length === 0) return yield* wait
      const answer = yield* Effect.catchAllDefect(
        this.#produce(connection, batches),
        (defect) => Effect.succeed(Effect.die(defect))
      )
      requests.push({ batches, answer })
      latch.open()
      yield* wait
    })
  }

  /** Handles the answers of one connection, until all have come and another one is used. */
  #handleAnswers(id: number, broker: BrokerSender, line: Line): Effect.Effect<void> {
    const { latch, requests } = line
    const handled = Effect.sync(() => {
      const { batches } = requests.shift()!
      broker.latch.open()
      // What waited behind them for a partition that has moved on is another sender's now.
      for (const { partition } of batches) {
        if (partition.leader !== id && partition.hasQueued) this.wake(partition.leader)
      }
    })
    const all: Effect.Effect<void> = Effect.suspend(() => {
      const [request] = requests
      if (request !== undefined) {
        const answered = request.answer.pipe(
          Effect.catchAllDefect((defect) => this.#broken(request.batches, defect)),
          Effect.catchAllDefect(logDefect)
        )
        return Effect.zipRight(Effect.catchAllDefect(Effect.zipRight(answered, handled), logDefect), all)
      }
      if (line.isOver) return Effect.void
      latch.close()
      return Effect.zipRight(latch.await, all)
    })
    return all
  }

  /** What was held against a broker, or its partitions, because it could not be reached is over. */
  #reached(id: number, broker: BrokerSender): void {
    const { error } = broker
    if (error === undefined) return
    broker.error = undefined
    for (const partition of this.#engine.accumulator.active) {
      if (partition.leader === id && partition.lastError === error) partition.lastError = undefined
    }
  }

  /** Whatever went wrong, every batch goes on to its outcome. */
  #broken(batches: ReadonlyArray<Batch<Entry>>, defect: unknown): Effect.Effect<void> {
    return Effect.zipRight(
      logDefect(defect),
      Effect.forEach(batches, (batch) =>
        this.#attemptFailed(
          batch,
          new RetriableError({
            reason: { _tag: "InvalidResponse", written: true },
            scope: "client",
            message: `a defect in the producer: ${String(defect)}`,
            cause: defect
          })
        ), { discard: true })
    )
  }

  /** The broker cannot be reached: what can only go there fails if that is final, else it waits. */
  #unreachable(id: number, error: KafkaError): Effect.Effect<void> {
    return Effect.suspend(() => {
      const batches: Array<Batch<Entry>> = []
      for (const partition of this.#engine.accumulator.active) {
        if (partition.leader !== id) continue
        partition.lastError = error
        if (isFatal(error)) { for (const batch of partition.batches) if (!batch.inFlight) batches.push(batch) }
      }
      return Effect.forEach(
        batches,
        (batch) => this.#fail(batch, error, batch.maybeWritten || batch.inFlight ? "maybe" : "no"),
        { discard: true }
      )
    })
  }

  /** Writes one request; the inner effect handles its answer. */
  #produce(
    connection: BrokerConnection,
    batches: ReadonlyArray<Batch<Entry>>
  ): Effect.Effect<Effect.Effect<void>> {
    const { settings } = this.#engine
    const topics = new Map<string, Array<{ index: number; records: Uint8Array }>>()
    for (const batch of batches) {
      const { partition, topic } = batch.partition
      let partitions = topics.get(topic)
      if (partitions === undefined) topics.set(topic, partitions = [])
      partitions.push({ index: partition, records: batch.bytes! })
    }
    const body = {
      acks: settings.acks,
      timeoutMs: Duration.toMillis(settings.ackTimeout),
      topicData: Array.from(topics, ([name, partitionData]) => ({ name, partitionData }))
    }
    const failed = (error: KafkaError) =>
      Effect.forEach(batches, (batch) => this.#attemptFailed(batch, error), { discard: true })
    if (settings.acks === 0) {
      return Effect.match(connection.sendOneWay(Produce, body), {
        onFailure: failed,
        onSuccess: (written) =>
          Effect.matchEffect(written, {
            onFailure: failed,
            onSuccess: () =>
              Effect.forEach(
                batches,
                (batch) => this.#engine.accumulator.landed(batch) ? this.#acknowledge(batch, -1, -1) : Effect.void,
                { discard: true }
              )
          })
      })
    }
    return Effect.match(connection.send(Produce, body), {
      onFailure: failed,
      onSuccess: (answer) =>
        Effect.matchEffect(answer, {
          onFailure: failed,
          onSuccess: (response) => this.#answered(connection, batches, response)
        })
    })
  }

  #answered(
    connection: BrokerConnection,
    batches: ReadonlyArray<Batch<Entry>>,
    response: ResponseOf<typeof Produce>
  ): Effect.Effect<void> {
    type Answer = (typeof response)["responses"][number]["partitionResponses"][number]
    const answers = new Map<string, Answer>()
    for (const topic of response.responses) {
      for (const answer of topic.partitionResponses) answers.set(`${topic.name}/${answer.index}`, answer)
    }
    const broker = formatAddress(connection.address)
    return Effect.forEach(batches, (batch) => {
      const { accumulator, cluster, now, random, settings } = this.#engine
      if (!accumulator.landed(batch)) return Effect.void
      const { partition, topic } = batch.partition
      const answer = answers.get(`${topic}/${partition}`)
      if (answer === undefined) {
        return this.#unanswered(
          batch,
          new RetriableError({
            reason: { _tag: "InvalidResponse", broker, topic, partition, written: true },
            scope: "partition",
            message: `Produce: the answer of ${broker} does not name topic ${topic}, partition ${partition}`
          })
        )
      }
      const outcome = produceOutcome(answer.errorCode, {
        idempotent: settings.idempotent,
        maybeWritten: batch.maybeWritten,
        isOldest: batch.partition.isOldest(batch),
        recordCount: batch.entries.length
      })
      if (outcome._tag === "Acknowledged") return this.#acknowledge(batch, answer.baseOffset, answer.logAppendTimeMs)
      const error = fromCode(answer.errorCode, {
        operation: "Produce",
        scope: "partition",
        topic,
        partition,
        broker,
        detail: answer.errorMessage ?? answer.recordErrors[0]?.batchIndexErrorMessage
      })
      batch.lastError = error
      const retryAt = now() + pauseMillis(cluster.settings, batch.attempts, random())
      switch (outcome._tag) {
        case "Retry":
          batch.maybeWritten ||= outcome.maybeWritten
          if (outcome.refresh) this.#askAgain()
          if (!this.#mayRetry(batch)) return this.#fail(batch, error, batch.maybeWritten ? "maybe" : "no")
          accumulator.retry(batch, retryAt)
          return Effect.void
        case "RetryInTurn":
          accumulator.retry(batch, now())
          return Effect.void
        case "RetryInNextEpoch":
          if (!batch.partition.hasLostEpoch(batch) && !this.#mayRetry(batch)) return this.#fail(batch, error, "no")
          accumulator.retryInNextEpoch(batch, retryAt)
          return Effect.void
        case "Split":
          return this.#split(batch) ? Effect.void : this.#fail(batch, error, "no")
        case "Failed":
          return this.#fail(batch, error, outcome.persisted)
      }
    }, { discard: true })
  }

  #attemptFailed(batch: Batch<Entry>, error: KafkaError): Effect.Effect<void> {
    return Effect.suspend(() => this.#engine.accumulator.landed(batch) ? this.#unanswered(batch, error) : Effect.void)
  }

  /** No answer for a batch that has landed: the same bytes again, unless that is hopeless. */
  #unanswered(batch: Batch<Entry>, error: KafkaError): Effect.Effect<void> {
    const { accumulator, cluster, now, random, settings } = this.#engine
    const written = error.reason.written !== false
    batch.lastError = error
    batch.maybeWritten ||= written
    if (isFatal(error) || (settings.acks === 0 && written)) {
      return this.#fail(batch, error, batch.maybeWritten ? "maybe" : "no")
    }
    this.#askAgain()
    if (!this.#mayRetry(batch)) return this.#fail(batch, error, batch.maybeWritten ? "maybe" : "no")
    accumulator.retry(batch, now() + pauseMillis(cluster.settings, batch.attempts, random()))
    return Effect.void
  }

  /** An attempt has failed; whether there may be another one. */
  #mayRetry(batch: Batch<Entry>): boolean {
    batch.failures++
    return batch.failures <= this.#engine.settings.retries
  }

  #acknowledge(batch: Batch<Entry>, baseOffset: number, logAppendTime: number): Effect.Effect<void> {
    batch.partition.lastError = undefined
    return this.#engine.complete(batch, {
      topic: batch.partition.topic,
      partition: batch.partition.partition,
      baseOffset,
      logAppendTime,
      error: undefined
    })
  }

  /** At once, not when the effect is run: a batch that has landed may be sent again by whoever comes between. */
  #fail(batch: Batch<Entry>, error: KafkaError, persisted: "no" | "maybe"): Effect.Effect<void> {
    // Another fiber may have come first.
    if (!this.#engine.accumulator.incomplete.has(batch)) return Effect.void
    return this.#engine.complete(batch, failure(batch, withPersisted(error, persisted)))
  }

  /** False if the batch's bytes, which are our own, cannot be read. */
  #split(batch: Batch<Entry>): boolean {
    const { accumulator, now } = this.#engine
    const { chunks } = decodeRecords(batch.bytes!, {
      fetchOffset: 0,
      codecs: builtInCodecs,
      maxExpandedSize: 0x7fffffff
    })
    const records = chunks.flatMap((chunk) => chunk.records)
    if (records.length !== batch.entries.length) return false
    this.#engine.replaced(batch, accumulator.split(batch, records, now()))
    return true
  }
}
