/** Steps that write, read and look at logs. */
import { batchAttribute, batchField, computeBatchCrc } from "@sluice/kafka/internal/kernel/batchHeader"
import { writeInt16, writeInt32, writeInt64 } from "@sluice/kafka/internal/kernel/bigEndian"
import { gzip } from "@sluice/kafka/internal/kernel/compression"
import { BatchBuilder, type CloseOptions } from "@sluice/kafka/internal/kernel/recordBatch"
import { DeleteRecords } from "@sluice/kafka/internal/protocol/api/deleteRecords"
import { Fetch } from "@sluice/kafka/internal/protocol/api/fetch"
import { InitProducerId } from "@sluice/kafka/internal/protocol/api/initProducerId"
import { ListOffsets } from "@sluice/kafka/internal/protocol/api/listOffsets"
import { OffsetForLeaderEpoch } from "@sluice/kafka/internal/protocol/api/offsetForLeaderEpoch"
import { Produce } from "@sluice/kafka/internal/protocol/api/produce"

import { Random } from "./random.ts"
import { type Step, step } from "./script.ts"
import { maxMessageBytes, type World } from "./world.ts"

const encoder = new TextEncoder()

const batchOf = (values: ReadonlyArray<string>, timestamp: number, options: CloseOptions = {}): Uint8Array => {
  const builder = new BatchBuilder()
  values.forEach((value, index) => builder.append(timestamp + index, null, encoder.encode(value), []))
  return builder.close(options)
}

/** Changes a batch, and makes its checksum right again. */
const tamper = (batch: Uint8Array, change: (batch: Uint8Array) => void): Uint8Array => {
  change(batch)
  writeInt32(batch, batchField.crc, computeBatchCrc(batch, 0, batch.length) | 0)
  return batch
}

/** Ways to get a batch wrong. */
const mistakes: ReadonlyArray<(batch: Uint8Array, random: Random) => Uint8Array> = [
  // Not null: Kafka never answers that.
  () => new Uint8Array(0),
  (batch) => batch.subarray(0, 40),
  (batch) => batch.subarray(0, batch.length - 1),
  (batch) => Buffer.concat([batch, batch]),
  (batch) => Buffer.concat([batch, batch.subarray(0, 30)]),
  // A wrong checksum.
  (batch) => {
    batch[batchField.crc]! ^= 0xff
    return batch
  },
  (batch) => {
    batch[batch.length - 1]! ^= 1
    return batch
  },
  // Wrong counts and places.
  (batch, random) => {
    const count = random.pick([0, 1, 2, 9, -1])
    return tamper(batch, () => writeInt32(batch, batchField.recordCount, count))
  },
  (batch, random) => {
    const delta = random.pick([0, 1, 7, -1])
    return tamper(batch, () => writeInt32(batch, batchField.lastOffsetDelta, delta))
  },
  (batch) => tamper(batch, () => writeInt64(batch, batchField.baseOffset, 5)),
  // Other formats.
  (batch, random) => {
    const magic = random.pick([0, 1, 3])
    return tamper(batch, () => {
      batch[batchField.magic] = magic
    })
  },
  (batch) => tamper(batch, () => writeInt16(batch, batchField.attributes, batchAttribute.control)),
  (batch) => tamper(batch, () => writeInt16(batch, batchField.attributes, batchAttribute.transactional)),
  (batch) => tamper(batch, () => writeInt64(batch, batchField.producerId, 77))
]

/** What of a producer's batch decides what becomes of it. */
interface Sequenced {
  readonly producer: string
  readonly epoch: number
  readonly sequence: number
  readonly count: number
}

const sequenceAfter = (sequence: number, steps: number): number => (sequence + steps) % 2 ** 31

const sequenced = (world: World, topic: string, partition: number): Sequenced => {
  const { random } = world
  const producer = random.pick(["p1", "p1", "p2", "p3"])
  const { appended, epoch, nextSequence } = world.history(producer, topic, partition)
  const count = random.between(1, 3)
  const newest = appended[appended.length - 1]
  const next: Sequenced = { producer, epoch, sequence: nextSequence, count }
  return random.weighted<() => Sequenced>([
    [newest === undefined ? 12 : 10, () => next],
    [appended.length > 0 ? 6 : 0, () => ({ producer, ...random.pick(appended) })],
    [appended.length > 0 ? 1 : 0, () => ({ producer, ...random.pick(appended), count })],
    [1, () => ({ ...next, sequence: sequenceAfter(nextSequence, random.between(1, 4)) })],
    [1, () => ({ ...next, sequence: 2 ** 31 - random.between(1, 3) })],
    [1, () => ({ ...next, epoch: epoch + 1, sequence: 0 })],
    [1, () => ({ ...next, epoch: epoch + 1 })],
    [epoch > 0 ? 2 : 0, () => ({ ...next, epoch: epoch - 1 })]
  ])()
}

/** One Produce, to one or two partitions. */
export const produce = (world: World, connection: number): Step => {
  const { random } = world
  const acks = random.weighted([[10, -1], [7, 1], [2, 0], [1, random.pick([2, -2])]])
  const targets = new Map<string, { readonly topic: string; readonly partition: number }>()
  for (let count = random.weighted([[4, 1], [1, 2], [1, 3]]); count > 0; count--) {
    const topic = world.topicSlot()
    const partition = world.partitionOf(topic)
    targets.set(`${topic} ${partition}`, { topic, partition })
  }
  const parts = Array.from(targets.values(), ({ partition, topic }) => {
    const letter = random.pick(["a", "b", "c"])
    const timestamp = random.between(1, 40) * 100
    const kind = random.weighted([[5, "plain"], [9, "sequenced"], [2, "wrong"], [1, "large"], [1, "gzip"]])
    const sequence = kind === "sequenced" || random.percent(10) ? sequenced(world, topic, partition) : undefined
    const count = sequence?.count ?? random.between(1, 3)
    const values = Array.from({ length: count }, (_, index) => letter.repeat(random.between(1, 30)) + index)
    if (kind === "large") values[0] = letter.repeat(maxMessageBytes)
    if (kind === "gzip") values[0] = letter.repeat(200)
    const mistake = kind === "wrong" ? random.pick(mistakes) : undefined
    const seed = random.below(2 ** 31)
    return {
      topic,
      partition,
      sequence,
      count,
      batch: (producerId: number): Uint8Array => {
        const batch = batchOf(values, timestamp, {
          ...(kind === "gzip" && { codec: gzip }),
          ...(sequence !== undefined && { producerId, producerEpoch: sequence.epoch, baseSequence: sequence.sequence })
        })
        return mistake === undefined ? batch : mistake(batch, new Random(seed))
      }
    }
  })
  const slots = Array.from(new Set(parts.map(({ topic }) => topic)))
  return step(connection, Produce, random.between(8, 12), (names) => ({
    acks,
    timeoutMs: 1000,
    topicData: slots.map((slot) => ({
      name: names.of(slot),
      partitionData: parts.filter(({ topic }) => topic === slot).map(({ batch, partition, sequence }) => ({
        index: partition,
        records: batch(sequence === undefined ? -1 : names.producerId(sequence.producer))
      }))
    }))
  }), {
    expectsResponse: acks !== 0,
    observe: (answer, body) => {
      for (const { count, partition, sequence, topic } of parts) {
        const known = world.known(topic, partition)
        if (known === undefined) continue
        if (answer._tag === "NoResponse") {
          // Which of them were new nobody says: wrong guesses make wrong requests, which are wanted too.
          known.end += count
          continue
        }
        const index = slots.indexOf(topic)
        const result = body?.responses[index]?.partitionResponses.find((response) => response.index === partition)
        if (result?.errorCode !== 0 || result.baseOffset < known.end) continue
        known.end = result.baseOffset + count
        if (sequence === undefined) continue
        const history = world.history(sequence.producer, topic, partition)
        history.epoch = sequence.epoch
        history.nextSequence = sequenceAfter(sequence.sequence, count)
        history.appended.push({ epoch: sequence.epoch, sequence: sequence.sequence, count })
        if (history.appended.length > 7) history.appended.shift()
      }
    }
  })
}

/** An offset in the log or around it. */
const offsetIn = (world: World, topic: string, partition: number): number => {
  const { random } = world
  const { end, start } = world.known(topic, partition) ?? { start: 0, end: 0 }
  return random.weighted([
    [6, random.between(start, end)],
    [3, start],
    [4, end],
    [1, end + random.between(1, 3)],
    [1, start - 1],
    [1, -1]
  ])
}

const leaderEpoch = (random: Random): number => random.weighted([[8, -1], [4, 0], [1, 1]])

/** One Fetch: it may park until somebody writes. */
export const fetch = (world: World, connection: number): Step => {
  const { random } = world
  const maxWaitMs = random.weighted([[5, 0], [1, 30], [4, 30_000]])
  const minBytes = random.weighted([[2, 0], [6, 1], [2, 150], [1, 2000]])
  const maxBytes = random.weighted([[8, 1_000_000], [1, 1], [2, 150], [1, 400], [1, 0]])
  const isolationLevel = random.weighted([[3, 0], [1, 1]])
  const sessionEpoch = random.percent(3) ? 1 : -1
  const version = random.between(11, 18)
  const parts = Array.from({ length: random.weighted([[5, 1], [3, 2], [1, 3]]) }, () => {
    const topic = world.topicSlot()
    const partition = world.partitionOf(topic)
    return {
      topic,
      partition,
      fetchOffset: offsetIn(world, topic, partition),
      currentLeaderEpoch: leaderEpoch(random),
      partitionMaxBytes: random.weighted([[8, 100_000], [1, 1], [2, 120], [1, 400], [1, 0]])
    }
  }).filter((part, index, all) =>
    all.findIndex((other) => other.topic === part.topic && other.partition === part.partition) === index
  )
  const slots = Array.from(new Set(parts.map(({ topic }) => topic)))
  return step(connection, Fetch, version, (names) => ({
    maxWaitMs,
    minBytes,
    maxBytes,
    isolationLevel,
    sessionEpoch,
    sessionId: sessionEpoch === 1 ? 12_345 : 0,
    topics: slots.map((slot) => ({
      topic: names.of(slot),
      topicId: names.topicId(slot),
      partitions: parts.filter(({ topic }) => topic === slot).map(({ topic: _, ...part }) => part)
    }))
  }), { awaits: maxWaitMs < 1000 })
}

/** One ListOffsets. */
export const listOffsets = (world: World, connection: number): Step => {
  const { random } = world
  const isolationLevel = random.weighted([[3, 0], [1, 1]])
  const topic = world.topicSlot()
  const partitions = Array.from({ length: random.weighted([[4, 1], [1, 2]]) }, () => world.partitionOf(topic)).map((
    partitionIndex
  ) => ({
    partitionIndex,
    currentLeaderEpoch: leaderEpoch(random),
    timestamp: random.weighted([
      [3, -1],
      [3, -2],
      // Kafka finds the largest timestamp among deleted records too, as long as their segment is there.
      [(world.known(topic, partitionIndex)?.start ?? 0) === 0 ? 1 : 0, -3],
      [1, -4],
      [1, -5],
      [1, -6],
      [1, -7],
      [1, 0],
      [5, random.between(0, 42) * 100 + random.below(3)]
    ])
  }))
  return step(connection, ListOffsets, random.between(5, 11), (names) => ({
    replicaId: -1,
    timeoutMs: 1000,
    isolationLevel,
    topics: [{ name: names.of(topic), partitions }]
  }))
}

/** One OffsetForLeaderEpoch. */
export const offsetForLeaderEpoch = (world: World, connection: number): Step => {
  const { random } = world
  const topic = world.topicSlot()
  const partition = world.partitionOf(topic)
  const part = { partition, currentLeaderEpoch: leaderEpoch(random), leaderEpoch: random.between(-1, 2) }
  return step(connection, OffsetForLeaderEpoch, random.between(3, 4), (names) => ({
    replicaId: -1,
    topics: [{ topic: names.of(topic), partitions: [part] }]
  }))
}

/** One DeleteRecords. */
export const deleteRecords = (world: World, connection: number): Step => {
  const { random } = world
  const topic = world.topicSlot()
  const partitionIndex = world.partitionOf(topic)
  const offset = random.percent(10) ? -2 : offsetIn(world, topic, partitionIndex)
  return step(connection, DeleteRecords, random.between(1, 2), (names) => ({
    timeoutMs: 5000,
    topics: [{ name: names.of(topic), partitions: [{ partitionIndex, offset }] }]
  }), {
    observe: (_, body) => {
      const result = body?.topics[0]?.partitions[0]
      const known = world.known(topic, partitionIndex)
      if (result?.errorCode === 0 && known !== undefined) known.start = result.lowWatermark
    }
  })
}

/** One InitProducerId, of a producer without transactions. */
export const initProducerId = (world: World, connection: number): Step => {
  const { random } = world
  const slot = random.pick(["p1", "p2", "p3"])
  const version = random.between(2, 5)
  const [hasId, hasEpoch] = version < 3 ? [false, false] : random.weighted([
    [6, [false, false]],
    [2, [true, true]],
    [1, [true, false]],
    [1, [false, true]]
  ])
  return step(connection, InitProducerId, version, (names) => ({
    transactionalId: null,
    transactionTimeoutMs: 60_000,
    producerId: hasId ? names.producerId(slot) : -1,
    producerEpoch: hasEpoch ? 3 : -1
  }), {
    slot,
    observe: (_, body) => {
      if (body?.errorCode !== 0) return
      for (const key of world.producers.keys()) if (key.startsWith(`${slot} `)) world.producers.delete(key)
    }
  })
}
