/** Smaller buffers are cheaper to allocate than to keep. */
const minPooled = 32 * 1024

/**
 * Buffers of batches that are done, to be filled again: a large allocation
 * costs more than its copy, and memory outside of JavaScript's heap makes the
 * collector run often.
 */
export class BufferPool {
  readonly #free: Array<Buffer> = []
  readonly #maxBytes: number
  #bytes = 0

  /** Keeps at most `maxBytes` that are not in use. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Bytes kept. */
  get bytes(): number {
    return this.#bytes
  }

  /** A buffer of at least `capacity` bytes, with anything in it. */
  take(capacity: number): Buffer {
    if (capacity >= minPooled) {
      const last = this.#free.pop()
      if (last !== undefined) {
        this.#bytes -= last.length
        if (last.length >= capacity) return last
      }
    }
    return Buffer.allocUnsafeSlow(capacity)
  }

  /** Takes back the whole memory under `bytes`, which nobody may read or write any more. */
  give(bytes: Uint8Array): void {
    const size = bytes.buffer.byteLength
    if (size < minPooled || this.#bytes + size > this.#maxBytes) return
    this.#free.push(Buffer.from(bytes.buffer as ArrayBuffer))
    this.#bytes += size
  }
}
