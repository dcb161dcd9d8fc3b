import type { TopicPartition } from "./topicPartition.ts"

/** What a broker is to fetch of a partition. */
export interface WantedPartition extends TopicPartition {
  readonly fetchOffset: number
  /** As far as it is known; -1 for unknown. */
  readonly leaderEpoch: number
  /** The bound of what it may bring, in bytes. */
  readonly maxBytes: number
  /** The broker must say how it is even if nothing has changed since it last did: nobody remembers that. */
  readonly mustAnswer: boolean
}

/** How a Fetch is made within a session. */
export interface FetchSessionRequest {
  /** 0 for none. */
  readonly sessionId: number
  /** 0 begins a new session, and ends the one of `sessionId`. */
  readonly sessionEpoch: number
  /** All that is wanted, or within a session what is new or has changed. */
  readonly partitions: ReadonlyArray<WantedPartition>
  /** What is not to be fetched any more. */
  readonly forgotten: ReadonlyArray<TopicPartition>
}

const maxEpoch = 2 ** 31 - 1

/**
 * What one broker knows of what is fetched from it (KIP-227), so that only changes need to be sent: with many partitions
 * of which few have anything new, requests and answers stay small.
 *
 * After each request the broker fetches exactly what is wanted: a partition without room is forgotten, or the broker
 * would send what nobody has reserved bytes for. Whenever it is not certain what the broker knows, a new session is
 * begun by naming everything, as it is done all along if the broker has no room for a session.
 */
export class FetchSession {
  private id = 0
  /** Of the next request. */
  private epoch = 0
  /** What the broker fetches, by key. */
  private fetched: ReadonlyMap<string, WantedPartition> = new Map()

  /** The request for `wanted`, by key, and nothing else. The map must not be changed any more. */
  next(wanted: ReadonlyMap<string, WantedPartition>): FetchSessionRequest {
    const { fetched } = this
    this.fetched = wanted
    for (const [key, { mustAnswer }] of wanted) if (mustAnswer && fetched.has(key)) this.epoch = 0
    const { epoch: sessionEpoch, id: sessionId } = this
    if (sessionEpoch === 0) return { sessionId, sessionEpoch, partitions: Array.from(wanted.values()), forgotten: [] }
    const partitions: Array<WantedPartition> = []
    for (const [key, partition] of wanted) if (isChanged(fetched.get(key), partition)) partitions.push(partition)
    const forgotten: Array<TopicPartition> = []
    for (const [key, partition] of fetched) if (!wanted.has(key)) forgotten.push(partition)
    return { sessionId, sessionEpoch, partitions, forgotten }
  }

  /** The broker has served the last request, in this session: 0 for none. */
  answered(sessionId: number): void {
    const goesOn = sessionId !== 0 && (this.epoch === 0 || sessionId === this.id)
    this.epoch = !goesOn ? 0 : this.epoch === maxEpoch ? 1 : this.epoch + 1
    this.id = sessionId
  }

  /** Nobody knows whether the broker has served the last request: the next one begins anew. */
  restart(): void {
    this.epoch = 0
  }

  /** The broker does not know the session. Says whether the request was of one at all. */
  refused(): boolean {
    const wasIncremental = this.epoch > 0
    this.id = 0
    this.epoch = 0
    return wasIncremental
  }
}

const isChanged = (before: WantedPartition | undefined, now: WantedPartition): boolean =>
  before === undefined || before.fetchOffset !== now.fetchOffset || before.maxBytes !== now.maxBytes ||
  before.leaderEpoch !== now.leaderEpoch
