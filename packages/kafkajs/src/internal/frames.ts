/** The bytes of a frame's size, which is not part of what it counts. */
const sizeBytes = 4

/** Every response begins with a correlation id. */
const smallestFrame = 4

/** What is allocated for a frame at first: its size is a claim until the bytes are there. */
const firstAllocation = 4 * 1024 * 1024

/** What one read takes at most, but for the rest of a frame: as much as Node takes by itself. */
const readBytes = 64 * 1024

/**
 * Gives out whole frames, without their size, of a connection whose bytes are read into its {@link buffer}: what is missing of
 * a frame comes straight to its place, and no memory is taken for a read.
 */
export class FrameReader {
  readonly #maxFrameBytes: number
  readonly #onFrame: (frame: Buffer) => void
  /** Where frames begin, and how much of it is filled and not yet read: less than a size, between two reads. */
  readonly #chunk = Buffer.allocUnsafeSlow(readBytes)
  #chunkFilled = 0
  /** A frame that is not complete yet, how long it is to be, and how much of it is there. */
  #frame: Buffer | undefined
  #frameSize = 0
  #frameFilled = 0
  #frames = 0
  #stopped = false

  /** `onFrame` may call {@link stop}. */
  constructor(maxFrameBytes: number, onFrame: (frame: Buffer) => void) {
    this.#maxFrameBytes = maxFrameBytes
    this.#onFrame = onFrame
  }

  /** Whether the last frame is not complete. */
  get inFrame(): boolean {
    return this.#frame !== undefined || this.#chunkFilled > 0
  }

  /** How many frames it gave out. */
  get frames(): number {
    return this.#frames
  }

  /** Where the next bytes of the connection go; never empty. */
  get buffer(): Buffer {
    return this.#frame === undefined ? this.#chunk.subarray(this.#chunkFilled) : this.#frame.subarray(this.#frameFilled)
  }

  /** Gives out no more, and lets go of what was kept. */
  stop(): void {
    this.#stopped = true
    this.#frame = undefined
    this.#chunkFilled = 0
  }

  /**
   * So many bytes were read into {@link buffer}. A size that no response has, or over the maximum, stops the reader before
   * anything of the frame is kept, and is returned.
   */
  filled(count: number): number | undefined {
    if (this.#stopped) return undefined
    if (this.#frame === undefined) return this.#readChunk(this.#chunkFilled + count)
    this.#frameFilled += count
    if (this.#frameFilled === this.#frameSize) {
      this.#give(this.#frame)
    } else if (this.#frameFilled === this.#frame.length) {
      const longer = Buffer.allocUnsafeSlow(Math.min(this.#frameSize, 2 * this.#frameFilled))
      this.#frame.copy(longer)
      this.#frame = longer
    }
    return undefined
  }

  #readChunk(end: number): number | undefined {
    let offset = 0
    while (end - offset >= sizeBytes) {
      const size = this.#chunk.readInt32BE(offset)
      if (size < smallestFrame || size > this.#maxFrameBytes) {
        this.stop()
        return size
      }
      offset += sizeBytes
      const filled = Math.min(size, end - offset)
      // Of its own, so that whoever keeps some of it keeps nothing else.
      const frame = Buffer.allocUnsafeSlow(Math.min(size, firstAllocation))
      this.#chunk.copy(frame, 0, offset, offset + filled)
      offset += filled
      if (filled < size) {
        this.#frame = frame
        this.#frameSize = size
        this.#frameFilled = filled
      } else {
        this.#give(frame)
        if (this.#stopped) return undefined
      }
    }
    this.#chunk.copyWithin(0, offset, end)
    this.#chunkFilled = end - offset
    return undefined
  }

  #give(frame: Buffer): void {
    this.#frame = undefined
    this.#frames++
    this.#onFrame(frame)
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
