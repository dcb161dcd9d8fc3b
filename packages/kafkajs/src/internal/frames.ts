/** The bytes of a frame's size, which is not part of what it counts. */
const sizeBytes = 4

/** Every response begins with a correlation id. */
const smallestFrame = 4

/** What is allocated for a frame at first: its size is a claim until the bytes are there. */
const firstAllocation = 4 * 1024 * 1024

/** Takes the bytes of a connection as they come and gives out whole frames, without their size. */
export class FrameReader {
  readonly #maxFrameBytes: number
  readonly #onFrame: (frame: Buffer) => void
  /** A frame that is not complete yet, how long it is to be, and how much of it is there; the same of its size. */
  #frame: Buffer | undefined
  #frameSize = 0
  #frameFilled = 0
  readonly #size = Buffer.alloc(sizeBytes)
  #sizeFilled = 0
  #frames = 0
  #stopped = false

  /** `onFrame` may call {@link stop}. */
  constructor(maxFrameBytes: number, onFrame: (frame: Buffer) => void) {
    this.#maxFrameBytes = maxFrameBytes
    this.#onFrame = onFrame
  }

  /** Whether the last frame is not complete. */
  get inFrame(): boolean {
    return this.#frame !== undefined || this.#sizeFilled > 0
  }

  /** How many frames it gave out. */
  get frames(): number {
    return this.#frames
  }

  /** Gives out no more, and lets go of what was kept. */
  stop(): void {
    this.#stopped = true
    this.#frame = undefined
  }

  /**
   * Reads a chunk, of which frames may remain views. A size that no response has, or over the maximum, stops the reader
   * before anything of the frame is kept, and is returned.
   */
  push(chunk: Buffer): number | undefined {
    let offset = 0
    while (offset < chunk.length && !this.#stopped) {
      if (this.#frame === undefined) {
        let size: number
        if (this.#sizeFilled === 0 && chunk.length - offset >= sizeBytes) {
          size = chunk.readInt32BE(offset)
          offset += sizeBytes
        } else {
          const copied = chunk.copy(this.#size, this.#sizeFilled, offset)
          offset += copied
          this.#sizeFilled += copied
          if (this.#sizeFilled < sizeBytes) return undefined
          size = this.#size.readInt32BE(0)
          this.#sizeFilled = 0
        }
        if (size < smallestFrame || size > this.#maxFrameBytes) {
          this.stop()
          return size
        }
        if (chunk.length - offset >= size) {
          // The usual case: a view of what was read.
          offset += size
          this.#frames++
          this.#onFrame(chunk.subarray(offset - size, offset))
          continue
        }
        // Memory of its own, filled as it comes, so that the chunks can go at once.
        this.#frame = Buffer.allocUnsafeSlow(Math.min(size, firstAllocation))
        this.#frameSize = size
        this.#frameFilled = 0
      }
      const frame = this.#frame
      const copied = chunk.copy(frame, this.#frameFilled, offset)
      offset += copied
      this.#frameFilled += copied
      if (this.#frameFilled === this.#frameSize) {
        this.#frame = undefined
        this.#frames++
        this.#onFrame(frame)
      } else if (this.#frameFilled === frame.length) {
        this.#frame = Buffer.allocUnsafeSlow(Math.min(this.#frameSize, 2 * frame.length))
        frame.copy(this.#frame)
      }
    }
    return undefined
  }
}

/** "HTTP", as a size. */
const http = 0x48545450

/** What a size that {@link FrameReader} refused is likely to mean. */
export const describeSize = (size: number, maxFrameBytes: number): string => {
  if (size === http) return "not a Kafka broker: an HTTP server answered"
  // A TLS alert or handshake begins with its type and the major version.
  if (size >>> 16 === 0x1503 || size >>> 16 === 0x1603) return "the listener speaks TLS: set `ssl`"
  return size < smallestFrame
    ? `not a Kafka response: a frame of ${size} bytes`
    : `a response of ${size} bytes: more than the ${maxFrameBytes} allowed, or not Kafka's`
}
