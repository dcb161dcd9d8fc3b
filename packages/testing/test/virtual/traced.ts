/** A program that uses much of what Effect has, and tells what happened; by itself it prints that of one seed. */
import { fileURLToPath } from "node:url"

import {
  Cache,
  Clock,
  Deferred,
  Effect,
  Exit,
  FiberSet,
  Mailbox,
  PubSub,
  Queue,
  Random,
  RcMap,
  Schedule,
  STM,
  Stream,
  TRef
} from "effect"

import * as Simulation from "../../src/Simulation.ts"

const program = Effect.gen(function*() {
  const trace: Array<string> = []
  const tell = (what: string) =>
    Effect.map(Clock.currentTimeNanos, (time) => {
      trace.push(`${time} ${what}`)
    })
  const pause = Effect.flatMap(Random.nextIntBetween(0, 20), (millis) => Effect.sleep(millis))

  const batches = Stream.range(1, 60).pipe(
    Stream.mapEffect((number) => Effect.as(pause, number), { concurrency: 5 }),
    Stream.groupedWithin(7, "12 millis"),
    Stream.runForEach((batch) => tell(`batch ${Array.from(batch).join(",")}`))
  )
  const merged = Stream.merge(
    Stream.repeatEffect(Effect.as(pause, "left")).pipe(Stream.take(10)),
    Stream.fromSchedule(Schedule.spaced("9 millis")).pipe(Stream.take(10)),
    { haltStrategy: "both" }
  ).pipe(
    Stream.buffer({ capacity: 2 }),
    Stream.debounce("3 millis"),
    Stream.runForEach((each) => tell(`merged ${each}`))
  )
  const races = Effect.forEach(
    [1, 2, 3, 4],
    (index) =>
      Effect.race(Effect.as(pause, "first"), Effect.as(pause, "second")).pipe(
        Effect.timeoutOption("10 millis"),
        Effect.flatMap((winner) => tell(`race ${index} ${winner._tag === "Some" ? winner.value : "nobody"}`))
      ),
    { concurrency: 2 }
  )
  const transfers = Effect.gen(function*() {
    const account = yield* TRef.make(0)
    yield* Effect.all([
      TRef.get(account).pipe(
        STM.tap((balance) => STM.check(() => balance >= 30)),
        Effect.flatMap((balance) => tell(`account ${balance}`))
      ),
      Effect.repeatN(Effect.zipRight(pause, TRef.update(account, (balance) => balance + 10)), 4)
    ], { concurrency: "unbounded" })
  })
  const published = Effect.scoped(Effect.gen(function*() {
    const hub = yield* PubSub.bounded<number>(2)
    const subscriptions = yield* Effect.all([PubSub.subscribe(hub), PubSub.subscribe(hub)])
    yield* Effect.all([
      ...subscriptions.map((subscription, index) =>
        Effect.repeatN(
          Effect.flatMap(Queue.take(subscription), (number) => Effect.zipRight(tell(`sub ${index} ${number}`), pause)),
          5
        )
      ),
      Effect.forEach([1, 2, 3, 4, 5, 6], (number) => PubSub.publish(hub, number))
    ], { concurrency: "unbounded" })
  }))
  const retried = Random.next.pipe(
    Effect.flatMap((chance) => chance < 0.7 ? Effect.fail(chance) : Effect.succeed(chance)),
    Effect.retry(Schedule.jittered(Schedule.exponential("2 millis"))),
    Effect.flatMap((chance) => tell(`retried ${chance}`))
  )
  const shared = Effect.scoped(Effect.gen(function*() {
    const cache = yield* Cache.make({
      capacity: 3,
      timeToLive: "15 millis",
      lookup: (key: number) => Effect.zipRight(tell(`look up ${key}`), Effect.as(pause, key * key))
    })
    const resources = yield* RcMap.make({
      lookup: (key: string) => Effect.acquireRelease(tell(`acquire ${key}`), () => tell(`release ${key}`)),
      idleTimeToLive: "5 millis"
    })
    const fibers = yield* FiberSet.make<void>()
    const mailbox = yield* Mailbox.make<number>(4)
    const done = yield* Deferred.make<void>()
    for (let index = 0; index < 12; index++) {
      const use = Effect.gen(function*() {
        yield* pause
        yield* Effect.scoped(RcMap.get(resources, `resource ${index % 3}`))
        yield* mailbox.offer(yield* cache.get(index % 4))
      })
      yield* FiberSet.run(fibers, use)
    }
    yield* Effect.fork(Effect.zipRight(FiberSet.awaitEmpty(fibers), Deferred.succeed(done, undefined)))
    yield* Effect.fork(Effect.zipRight(Deferred.await(done), mailbox.end))
    yield* Stream.runForEach(Mailbox.toStream(mailbox), (square) => tell(`square ${square}`))
  }))

  yield* Effect.all([batches, merged, races, transfers, published, retried, shared], { concurrency: "unbounded" })
  return trace
})

/** What happened with a seed. */
export const traceOf = (seed: number, interleaving: Simulation.Interleaving): ReadonlyArray<string> => {
  const { exit, leftovers, steps, time } = Simulation.run(program, { seed, interleaving })
  if (Exit.isFailure(exit)) throw new Error(`seed ${seed} failed: ${exit.cause}`)
  return [...exit.value, ...leftovers, `${time} ms, ${steps} steps`]
}

/** Every way to interleave at once. */
export const wild: Simulation.Interleaving = { shuffle: true, extraYields: 0.05, earlyTimers: 0.02 }

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const seed = Number(process.argv[2])
  for (const line of [...traceOf(seed, {}), ...traceOf(seed, wild)]) console.log(line)
}
