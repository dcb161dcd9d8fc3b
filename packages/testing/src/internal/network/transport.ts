import type { BrokerAddress, ConnectOptions, Transport } from "@sluice/kafka/Transport"
import { TransportError } from "@sluice/kafka/Transport"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

import { MemoryConnection } from "./connection.ts"
import type { Driver } from "./driver.ts"
import type { Network } from "./network.ts"

const refused = (address: BrokerAddress, message: string): TransportError =>
  new TransportError({ reason: "ConnectFailed", address, message, written: false })

/** Opens connections to the brokers of a network; each takes as long as a frame that goes there and back. */
export const make = (network: Network, driver: Driver): Transport["Type"] => {
  const open = (address: BrokerAddress, options: ConnectOptions) =>
    Effect.suspend(() => {
      const broker = network.brokerAt(address)
      if (broker === undefined) return Effect.fail(refused(address, "connection refused"))
      const connection = new MemoryConnection(address, options, driver.touch)
      connection.attach(network.connect(broker.id, connection))
      return Effect.succeed(connection)
    })
  return {
    connect: (address, options) => {
      const roundTrip = network.latencyMs * 2
      const timeout = Duration.toMillis(options.connectTimeout)
      const connected = Effect.acquireRelease(
        open(address, options),
        (connection) => Effect.sync(() => connection.close())
      )
      if (roundTrip === 0) return connected
      return roundTrip > timeout
        ? Effect.zipRight(
          driver.clock.sleep(options.connectTimeout),
          Effect.fail(refused(address, `not connected after ${timeout} ms`))
        )
        : Effect.zipRight(driver.clock.sleep(Duration.millis(roundTrip)), connected)
    }
  }
}
