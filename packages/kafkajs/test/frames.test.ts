import { assert, describe, it } from "@effect/vitest"
import { FastCheck } from "effect"

import { describeSize, FrameReader } from "../src/internal/frames.ts"
import { feed } from "./feed.ts"

const framed = (frame: Uint8Array): Buffer => {
  const bytes = Buffer.alloc(4 + frame.length)
  bytes.writeInt32BE(frame.length, 0)
  bytes.set(frame, 4)
  return bytes
}

const size = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value, 0)
  return bytes
}

const collector = (maxFrameBytes: number) => {
  const frames: Array<string> = []
  return { frames, reader: new FrameReader(maxFrameBytes, (frame) => frames.push(frame.toString("hex"))) }
}

describe("FrameReader", () => {
  it.prop(
    "gives the same frames however the bytes are cut",
    {
      frames: FastCheck.array(FastCheck.uint8Array({ minLength: 4, maxLength: 40 }), { maxLength: 12 }),
      cuts: FastCheck.array(FastCheck.integer({ min: 1, max: 25 }), { minLength: 1 })
    },
    ({ cuts, frames }) => {
      const bytes = Buffer.concat(frames.map(framed))
      const { frames: seen, reader } = collector(40)
      for (let offset = 0, cut = 0; offset < bytes.length; cut++) {
        const length = cuts[cut % cuts.length]!
        assert.isUndefined(feed(reader, bytes.subarray(offset, offset + length)))
        offset += length
      }
      assert.deepStrictEqual(seen, frames.map((frame) => Buffer.from(frame).toString("hex")))
      assert.isFalse(reader.inFrame)
    }
  )

  it("takes memory for a large frame as its bytes come, and gives it out whole", () => {
    const length = 30 * 1024 * 1024
    const bytes = Buffer.alloc(length)
    for (let offset = 0; offset < length; offset += 4) bytes.writeInt32BE(offset, offset)
    const frames: Array<Buffer> = []
    const reader = new FrameReader(length, (frame) => frames.push(frame))
    const memory = () => process.memoryUsage().arrayBuffers
    const before = memory()
    feed(reader, size(length))
    feed(reader, bytes.subarray(0, 1_000))
    assert.isBelow(memory() - before, 8 * 1024 * 1024)
    for (let offset = 1_000; offset < length; offset += 65_536) feed(reader, bytes.subarray(offset, offset + 65_536))
    assert.lengthOf(frames, 1)
    assert.isTrue(frames[0]!.equals(bytes))
  })

  it("reads what is missing of a frame straight to its place", () => {
    const frames: Array<Buffer> = []
    const reader = new FrameReader(200_000, (frame) => frames.push(frame))
    feed(reader, size(100_000))
    const place = reader.buffer
    assert.lengthOf(place, 100_000)
    feed(reader, Buffer.alloc(100_000, 7))
    assert.strictEqual(frames[0]!.buffer, place.buffer)
    // What comes next does not touch what was given out.
    feed(reader, framed(Buffer.alloc(50_000, 8)))
    assert.isTrue(frames[0]!.equals(Buffer.alloc(100_000, 7)))
    assert.isTrue(frames[1]!.equals(Buffer.alloc(50_000, 8)))
  })

  it("knows whether it is inside a frame", () => {
    const { reader } = collector(100)
    feed(reader, Buffer.from([0, 0]))
    assert.isTrue(reader.inFrame)
    feed(reader, Buffer.from([0, 5]))
    assert.isTrue(reader.inFrame)
    feed(reader, Buffer.from([1, 2, 3, 4]))
    assert.isTrue(reader.inFrame)
    feed(reader, Buffer.from([5]))
    assert.isFalse(reader.inFrame)
  })

  it("refuses a size over the maximum, and those that no response has", () => {
    for (const refused of [101, -1, 0, 3, 2 ** 31 - 1, -(2 ** 31)]) {
      const { frames, reader } = collector(100)
      assert.strictEqual(feed(reader, Buffer.concat([framed(Buffer.alloc(100)), size(refused)])), refused)
      assert.strictEqual(frames.length, 1)
      assert.isUndefined(feed(reader, framed(Buffer.alloc(10))))
      assert.strictEqual(frames.length, 1)
    }
  })

  it("stops in the middle of a chunk", () => {
    const frames: Array<number> = []
    const reader: FrameReader = new FrameReader(100, (frame) => {
      frames.push(frame.length)
      if (frames.length === 2) reader.stop()
    })
    feed(reader, Buffer.concat([5, 6, 7].map((length) => framed(Buffer.alloc(length)))))
    assert.deepStrictEqual(frames, [5, 6])
  })

  it("says what a refused size is likely to be", () => {
    assert.match(describeSize(Buffer.from("HTTP").readInt32BE(0), 100), /HTTP/)
    assert.match(describeSize(Buffer.from([0x15, 0x03, 0x03, 0x00]).readInt32BE(0), 100), /set `ssl`/)
    assert.match(describeSize(-2, 100), /-2 bytes/)
    assert.match(describeSize(101, 100), /101 bytes.*100/)
  })
})
