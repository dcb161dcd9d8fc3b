import { readBatchHeader } from "@sluice/kafka/internal/kernel/batchHeader"
import { advanceSequence } from "@sluice/kafka/internal/kernel/partitionBuffer"

/** How many of a producer's batches a broker knows. */
const known = 5

/** A partition's log, as far as an idempotent producer is concerned; the rules are those of Kafka's `ProducerAppendInfo`. */
export class BrokerLog {
  readonly ids: Array<number> = []
  #epoch = -1
  #next = 0
  #recent: ReadonlyArray<{ readonly first: number; readonly count: number }> = []

  /** Writes a batch; the error code. */
  append(bytes: Uint8Array, ids: ReadonlyArray<number>): number {
    const { baseSequence: first, producerEpoch: epoch, recordCount: count } = readBatchHeader(bytes, 0)
    if (epoch < this.#epoch) return 47
    if (epoch > this.#epoch) {
      // Who knows nothing of a producer takes any sequence.
      if (this.#epoch !== -1 && first !== 0) return 45
      this.#epoch = epoch
      this.#recent = []
    } else {
      if (this.#recent.some((batch) => batch.first === first && batch.count === count)) return 0
      if (first !== this.#next) return 45
    }
    this.#next = advanceSequence(first, count)
    this.#recent = [...this.#recent, { first, count }].slice(-known)
    for (const id of ids) this.ids.push(id)
    return 0
  }
}
