/** The records of every case: the same for all clients, so that nobody is spared work. */

/** Bytes of a value. */
export const valueSize = 200

/** So many different values, made before the clock starts; then they come again. */
export const valueCount = 16_384

/** So many different keys; it divides the number of values, so that a key has always the same ones, in the same order. */
export const keyCount = 4_096

/** Records of a batch, in cases that hand over batches. */
export const chunkSize = 1_000

/** Calls with a batch that are under way at a time, for clients whose call waits for its acknowledgement. */
export const batchesInFlight = 5

/** Records under way in the cases that keep a thousand of them there. */
export const recordsInFlight = 1_000

const keys: ReadonlyArray<Buffer> = Array.from(
  { length: keyCount },
  (_, i) => Buffer.from(`key-${String(i).padStart(6, "0")}`)
)

// Views of one buffer, as a service reads them from a socket or a file.
const slab = Buffer.alloc(valueSize * valueCount, 0x61)
const values: ReadonlyArray<Buffer> = Array.from({ length: valueCount }, (_, i) => {
  const value = slab.subarray(i * valueSize, (i + 1) * valueSize)
  value.write(String(i).padStart(12, "0"), 0, "latin1")
  return value
})

/** The key of the record with that number: 10 bytes. */
export const keyOf = (index: number): Buffer => keys[index % keyCount]!

/** The value of the record with that number: its number is at the head. */
export const valueOf = (index: number): Buffer => values[index % valueCount]!

const numberAt = (bytes: Uint8Array, from: number, to: number): number => {
  let number = 0
  for (let i = from; i < to; i++) number = number * 10 + bytes[i]! - 48
  return number
}

/** The number at the head of a value. */
export const valueNumber = (value: Uint8Array): number => numberAt(value, 0, 12)

/** Checks that the records of each key come without a gap, in the order in which they were sent, and counts them. */
export class OrderCheck {
  count = 0
  readonly #last = new Int32Array(keyCount).fill(-1)

  /** The next record of a partition: by key, since that is what keeps an order. */
  see(key: Uint8Array, value: Uint8Array): void {
    const number = numberAt(key, 4, 10)
    const index = valueNumber(value)
    const last = this.#last[number]!
    const expected = last === -1 ? number : (last + keyCount) % valueCount
    if (index !== expected) throw new Error(`of key ${number}, value ${index} came instead of ${expected}`)
    this.#last[number] = index
    this.count++
  }
}
