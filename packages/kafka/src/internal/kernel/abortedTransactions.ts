/** A transaction that was aborted, as a Fetch response tells it. */
export interface AbortedTransaction {
  readonly producerId: number
  /** Of the transaction's first record in this partition. */
  readonly firstOffset: number
}

/**
 * Which batches of one Fetch response belong to aborted transactions. A producer's range starts at the transaction's
 * first offset and ends at its abort marker; batches are to be shown in the order of the log.
 */
export class AbortedTransactions {
  private readonly upcoming: ReadonlyArray<AbortedTransaction>
  private nextUpcoming = 0
  private readonly abortedProducers = new Set<number>()

  /** Brokers list transactions in the order in which they ended, so they are sorted here. */
  constructor(transactions: ReadonlyArray<AbortedTransaction>) {
    this.upcoming = transactions.length < 2
      ? transactions
      : [...transactions].sort((one, other) => one.firstOffset - other.firstOffset)
  }

  /** Starts the ranges of the transactions that began at `lastOffset`, the batch's last, or earlier. */
  advance(lastOffset: number): void {
    while (this.nextUpcoming < this.upcoming.length) {
      const transaction = this.upcoming[this.nextUpcoming]!
      if (transaction.firstOffset > lastOffset) return
      this.abortedProducers.add(transaction.producerId)
      this.nextUpcoming++
    }
  }

  /** Ends the producer's range: its abort marker was met. */
  end(producerId: number): void {
    this.abortedProducers.delete(producerId)
  }

  /** Whether a transactional batch of the producer is to be left out. */
  has(producerId: number): boolean {
    return this.abortedProducers.has(producerId)
  }
}
