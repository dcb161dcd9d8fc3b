import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"

import type { KafkaError } from "../../KafkaError.ts"
import type { BrokerAddress, Transport } from "../../Transport.ts"
import { closed, formatAddress } from "../errors.ts"
import { detached } from "../fiber.ts"
import { Permits } from "../permits.ts"
import { type BrokerConnection, open } from "./connection.ts"
import type { Settings } from "./settings.ts"

/**
 * The connections of one owner for one purpose, one an address. Opened when
 * first asked for, replaced when they have ended, closed with the scope.
 */
export interface ConnectionPool {
  readonly get: (address: BrokerAddress) => Effect.Effect<BrokerConnection, KafkaError>
}

interface Entry {
  readonly opening: Permits
  connection: BrokerConnection | undefined
}

/** An empty pool. */
export const makePool = (
  transport: Transport["Type"],
  settings: Settings
): Effect.Effect<ConnectionPool, never, Scope.Scope> =>
  Effect.gen(function*() {
    const entries = new Map<string, Entry>()
    const watchers = new Set<Fiber.RuntimeFiber<void>>()
    let isClosed = false

    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => {
        isClosed = true
        const connections = Array.from(entries.values(), (entry) => entry.connection)
        entries.clear()
        return Effect.zipRight(
          Effect.forEach(connections, (connection) => connection === undefined ? Effect.void : connection.close, {
            discard: true
          }),
          Fiber.interruptAll(watchers)
        )
      })
    )

    /** Releases what a connection held when it ends by itself. */
    const watch = (connection: BrokerConnection) =>
      Effect.forkDaemon(Effect.interruptible(detached(Effect.zipRight(connection.closed, connection.close)))).pipe(
        Effect.map((fiber) => {
          watchers.add(fiber)
          fiber.addObserver(() => watchers.delete(fiber))
        })
      )

    const get = (address: BrokerAddress): Effect.Effect<BrokerConnection, KafkaError> =>
      Effect.suspend(() => {
        if (isClosed) return Effect.fail(closed("client"))
        const key = formatAddress(address)
        let entry = entries.get(key)
        if (entry === undefined) {
          entries.set(key, entry = { opening: new Permits(1), connection: undefined })
        }
        if (entry.connection?.isOpen() === true) {
          return Effect.succeed(entry.connection)
        }
        const own = entry
        return own.opening.use(Effect.suspend(() => {
          if (own.connection?.isOpen() === true) return Effect.succeed(own.connection)
          return Effect.uninterruptibleMask((restore) =>
            Effect.flatMap(open(transport, settings, address, restore), (connection) => {
              if (isClosed) return Effect.zipRight(connection.close, Effect.fail(closed("client")))
              own.connection = connection
              return Effect.as(watch(connection), connection)
            })
          )
        }))
      })

    return { get }
  })
