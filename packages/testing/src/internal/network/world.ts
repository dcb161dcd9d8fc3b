import type { Transport } from "@sluice/kafka/Transport"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

import type { MemoryCluster, Options } from "../../MemoryCluster.ts"
import { Cluster } from "../cluster/cluster.ts"
import type { ClusterConfig } from "../cluster/config.ts"
import { millisOf } from "../millis.ts"
import { SeededRandom } from "../random.ts"
import * as Driver from "./driver.ts"
import type { NetworkObserver } from "./event.ts"
import { Network } from "./network.ts"
import { operator } from "./operator.ts"
import * as MemoryTransport from "./transport.ts"

/** What a cluster may be made of, beside what its users may say. */
export interface WorldOptions extends Options {
  /** Is told of everything that happens, in the order of its time. */
  readonly observer?: NetworkObserver | undefined
  /** Settings of the brokers. */
  readonly config?: Partial<ClusterConfig>
}

/** A cluster in memory, and everything about it. */
export interface World {
  readonly cluster: MemoryCluster["Type"]
  readonly transport: Transport["Type"]
  readonly network: Network
}

/** The random stream of the network; those of a simulation have small numbers. */
const chanceOfNetwork = 1001

const finiteMillis = (what: string, duration: Duration.DurationInput): number => {
  const millis = millisOf(what, duration)
  if (millis === Infinity) throw new RangeError(`${what} of ${millis} ms; it must have an end`)
  return millis
}

/** Makes a cluster, and the network to it, which live in the time of the clock until the scope closes. */
export const make = (options: WorldOptions = {}): Effect.Effect<World, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { brokers = 1, config, observer, racks, seed = 0, topics = {} } = options
    const latency = finiteMillis("A latency", options.latency ?? 0)
    const jitter = finiteMillis("A jitter", options.jitter ?? 0)
    const replicationDelayMs = finiteMillis("A replication delay", options.replicationDelay ?? 0)
    if (!Number.isSafeInteger(brokers) || brokers < 1) {
      throw new RangeError(`A cluster of ${brokers} brokers; it must have 1 or more`)
    }
    if (!Number.isSafeInteger(seed)) throw new RangeError(`A seed of ${seed}; it must be a whole number`)
    const clock = yield* Effect.clock
    const cluster = new Cluster(
      Array.from({ length: brokers }, (_, index) => ({
        id: index + 1,
        host: `broker-${index + 1}.memory`,
        port: 9092,
        rack: racks?.[index]
      })),
      {
        replicationDelayMs,
        // The wall clock of a simulation is set for its clients only: brokers are other machines.
        wallStartMs: clock.unsafeCurrentTimeMillis() - Driver.monotonic(clock),
        ...config
      },
      observer === undefined ? undefined : (event, time) => observer({ _tag: "Cluster", time, event })
    )
    for (const [name, partitions] of Object.entries(topics)) cluster.createTopic(name, partitions)
    const network = new Network({
      cluster,
      latency,
      jitter,
      chance: new SeededRandom(seed, chanceOfNetwork),
      observer,
      jumpClock: canJump(clock) ? (by) => clock.jump(by) : undefined
    })
    const driver = yield* Driver.make(network)
    return { cluster: operator(network, driver), transport: MemoryTransport.make(network, driver), network }
  })

/** The clock of a simulation, whose wall time is apart from the time that passes. */
interface JumpingClock {
  readonly jump: (millis: number) => void
}

const canJump = (clock: object): clock is JumpingClock => "jump" in clock && typeof clock.jump === "function"
