import * as Effect from "effect/Effect"

import type { KafkaError } from "../../KafkaError.ts"
import type { BrokerAddress } from "../../Transport.ts"
import type { Cluster } from "../cluster/cluster.ts"
import type { BrokerConnection } from "../cluster/connection.ts"
import type { ConnectionPool } from "../cluster/pool.ts"
import { errorOf } from "../kernel/errors.ts"

/** Where a group's coordinator is: looked up when first needed, and again when it is no longer there. */
export class Coordinator {
  readonly #cluster: Cluster
  readonly #groupId: string
  #address: BrokerAddress | undefined

  constructor(cluster: Cluster, groupId: string) {
    this.#cluster = cluster
    this.#groupId = groupId
  }

  /** A connection to it, of the given pool. */
  connection(pool: ConnectionPool): Effect.Effect<BrokerConnection, KafkaError> {
    return Effect.suspend(() => {
      if (this.#address !== undefined) return pool.get(this.#address)
      return Effect.flatMap(this.#cluster.coordinator(this.#groupId), (address) => {
        this.#address = address
        return pool.get(address)
      })
    }).pipe(Effect.tapError((error) => Effect.sync(() => this.forgetAfter(error))))
  }

  /** Looks it up again next time, if the error says that it may have moved or cannot be reached. */
  forgetAfter(error: KafkaError): void {
    const { code } = error.reason
    if (code === undefined || errorOf(code).refresh === "coordinator") this.#address = undefined
  }
}
