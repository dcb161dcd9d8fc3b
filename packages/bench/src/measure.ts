import { performance } from "node:perf_hooks"

/** What one case reports, as a line of JSON. */
export interface Measured {
  readonly records: number
  /** Wall time of the measured part. */
  readonly seconds: number
  /** User and system time of this process in the measured part. */
  readonly cpuSeconds: number
  readonly peakRssMb: number
}

/** Measures a part of this process, and prints it for the parent. */
export const measure = async (records: number, run: () => Promise<void>): Promise<void> => {
  const cpu = process.cpuUsage()
  const start = performance.now()
  await run()
  const seconds = (performance.now() - start) / 1000
  const { system, user } = process.cpuUsage(cpu)
  const measured: Measured = {
    records,
    seconds,
    cpuSeconds: (user + system) / 1e6,
    peakRssMb: process.resourceUsage().maxRSS / 1024
  }
  console.log(JSON.stringify(measured))
}

/** Values of 200 bytes, all different, each with its index at its head; views of one buffer, as a service reads them from a socket or file. */
export const makeValues = (count: number): ReadonlyArray<Buffer> => {
  const size = 200
  const slab = Buffer.alloc(size * count, 0x61)
  return Array.from({ length: count }, (_, index) => {
    const value = slab.subarray(index * size, (index + 1) * size)
    value.write(String(index).padStart(12, "0"), 0, "latin1")
    return value
  })
}

/** Keys of 10 bytes, 4,096 of them. */
export const keys: ReadonlyArray<Buffer> = Array.from(
  { length: 4096 },
  (_, i) => Buffer.from(`key-${String(i).padStart(6, "0")}`)
)

/** Checks that the records of each key come in the order in which they were sent, and counts them. */
export class OrderCheck {
  count = 0
  readonly #last = new Map<number, number>()

  /** The next record of a partition: by key, since that is what keeps an order. */
  see(key: Uint8Array, value: Uint8Array): void {
    let index = 0
    for (let i = 0; i < 12; i++) index = index * 10 + value[i]! - 48
    let number = 0
    for (let i = 4; i < 10; i++) number = number * 10 + key[i]! - 48
    const last = this.#last.get(number) ?? -1
    if (index <= last) throw new Error(`record ${index} came after ${last} of the same key`)
    this.#last.set(number, index)
    this.count++
  }
}

/** Of the record that is sent before the clock starts. */
export const firstKey = Buffer.from("key-999999")
