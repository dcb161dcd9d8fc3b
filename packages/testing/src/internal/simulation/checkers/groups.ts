import type { History, HistoryEvent, PartitionIndex } from "../history.ts"

type Assigned = Extract<HistoryEvent, { readonly _tag: "Assigned" }>
type Synced = Extract<HistoryEvent, { readonly _tag: "Synced" }>

const nothing: ReadonlyArray<PartitionIndex> = []

/** Which member an id is of: ids begin with the client id, which is its name. */
export const memberNames = ({ members }: History): (memberId: string) => string | undefined => {
  const known = new Map<string, string | undefined>()
  return (memberId) => {
    if (known.has(memberId)) return known.get(memberId)
    let found: string | undefined
    for (const member of members) {
      const isLonger = found === undefined || member.length > found.length
      if (isLonger && (memberId === member || memberId.startsWith(`${member}-`))) found = member
    }
    known.set(memberId, found)
    return found
  }
}

/** Who owns what as a history goes on. */
export class Assignments {
  readonly #byGeneration = new Map<number, Assigned>()
  readonly #lastOwners = new Map<PartitionIndex, string>()
  /** The newest generation's. */
  current: Assigned | undefined

  add(event: Assigned): void {
    this.#byGeneration.set(event.generation, event)
    this.current = event
    for (const [memberId, partitions] of event.partitions) {
      for (const partition of partitions) this.#lastOwners.set(partition, memberId)
    }
  }

  /** A static member that comes back in a generation that goes on takes the place of who it was. */
  synced({ generation, memberId, partitions }: Synced): void {
    const known = this.#byGeneration.get(generation)
    if (known === undefined || partitions === undefined || known.partitions.has(memberId)) return
    const renamed = { ...known, partitions: new Map(known.partitions).set(memberId, partitions) }
    this.#byGeneration.set(generation, renamed)
    if (this.current === known) this.current = renamed
    for (const partition of partitions) this.#lastOwners.set(partition, memberId)
  }

  /** What a member has in a generation. */
  of(generation: number, memberId: string): ReadonlyArray<PartitionIndex> {
    return this.#byGeneration.get(generation)?.partitions.get(memberId) ?? nothing
  }

  /** Who owns a partition, or owned it before it was given to nobody, for its next owner to wait for. */
  lastOwner(partition: PartitionIndex): string | undefined {
    return this.#lastOwners.get(partition)
  }

  /** Whether a member is in the newest generation. */
  isIn(memberId: string | undefined): boolean {
    return memberId !== undefined && this.current !== undefined && this.current.partitions.has(memberId)
  }
}
