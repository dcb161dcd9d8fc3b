import { cancelable } from "@sluice/kafka/internal/fiber"
import type { BrokerAddress, ConnectOptions, Transport } from "@sluice/kafka/Transport"
import { TransportError } from "@sluice/kafka/Transport"
import * as Effect from "effect/Effect"

import { MemoryConnection } from "./connection.ts"
import type { Driver } from "./driver.ts"
import type { Network } from "./network.ts"

/** Opens connections to the brokers of a network, in its time. */
export const make = (network: Network, driver: Driver): Transport["Type"] => {
  const open = (brokerId: number, address: BrokerAddress, options: ConnectOptions) =>
    cancelable<MemoryConnection, TransportError>((resume) => {
      const connection = new MemoryConnection(address, options, driver.touch)
      connection.open(
        brokerId,
        (failure) => resume(failure === undefined ? Effect.succeed(connection) : Effect.fail(failure))
      )
      return () => connection.close()
    })
  return {
    connect: (address, options) =>
      Effect.uninterruptibleMask((restore) => {
        const brokerId = network.brokerAt(address)
        if (brokerId === undefined) {
          const message = `there is no ${address.host}:${address.port}`
          return Effect.fail(new TransportError({ reason: "ConnectFailed", address, message, written: false }))
        }
        return Effect.tap(
          restore(open(brokerId, address, options)),
          (connection) => Effect.addFinalizer(() => Effect.sync(() => connection.close()))
        )
      })
  }
}
