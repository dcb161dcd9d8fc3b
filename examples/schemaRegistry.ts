/**
 * A serde that asks a schema registry: for the id of the schema that it writes with, and for the schema that a record was
 * written with. Answers are kept: it is asked a few times, and not for each record.
 */
import { Consumer, Producer, Serde, Topic } from "@sluice/kafka"
import { Chunk, Console, Effect, Schema, Stream } from "effect"

import { createTopic, runExample } from "./support/cluster.ts"

class RegistryError extends Schema.TaggedError<RegistryError>()("RegistryError", { message: Schema.String }) {}

/** Stands for a service over HTTP, which a real one is: HttpClient of @effect/platform is what to write it with. */
class SchemaRegistry extends Effect.Service<SchemaRegistry>()("example/SchemaRegistry", {
  sync: () => {
    const schemas: Array<string> = []
    let requests = 0
    const request = <A>(answer: () => A) =>
      Effect.delay(
        Effect.sync(() => {
          requests++
          return answer()
        }),
        "20 millis"
      )
    return {
      /** The id of a schema, which is new if nobody has registered it. */
      register: (subject: string, schema: string) =>
        request(() => {
          const known = schemas.indexOf(`${subject} ${schema}`)
          return known === -1 ? schemas.push(`${subject} ${schema}`) - 1 : known
        }),
      schemaOf: (id: number) =>
        Effect.flatMap(request(() => schemas[id]), (schema) =>
          schema === undefined
            ? Effect.fail(new RegistryError({ message: `there is no schema ${id}` }))
            : Effect.succeed(schema)),
      requests: Effect.sync(() => requests)
    }
  }
}) {}

/** JSON behind a zero byte and the id of its schema, in four bytes. */
const registered = <A, I>(name: string, schema: Schema.Schema<A, I>) =>
  Effect.map(SchemaRegistry, (registry) => {
    const ids = new Map<string, number>()
    const known = new Set<number>()
    const json = Serde.json(schema)
    const frame = (id: number, value: A, topic: string) => {
      const header = Buffer.alloc(5)
      header.writeInt32BE(id, 1)
      return Buffer.concat([header, json.serialize(value, topic)])
    }
    return Serde.makeEffect<A>({
      serialize: (value, topic) => {
        const id = ids.get(topic)
        // What is known takes no time, and so no fiber.
        if (id !== undefined) return Effect.succeed(frame(id, value, topic))
        return Effect.map(registry.register(`${topic}-value`, name), (id) => {
          ids.set(topic, id)
          return frame(id, value, topic)
        })
      },
      deserialize: (bytes, topic) => {
        const id = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).readInt32BE(1)
        if (known.has(id)) return Effect.succeed(json.deserialize(bytes.subarray(5), topic))
        return Effect.map(registry.schemaOf(id), () => {
          known.add(id)
          return json.deserialize(bytes.subarray(5), topic)
        })
      }
    })
  })

const Order = Schema.Struct({ id: Schema.Number, customer: Schema.String })

const program = Effect.gen(function*() {
  const registry = yield* SchemaRegistry
  // The topic's type says nothing of how its serdes work: Topic<"…", string, { id: number, customer: string }>.
  const Orders = Topic.make("sluice-example-registered-orders", {
    key: Serde.string,
    value: yield* registered("Order, version 1", Order)
  })
  yield* createTopic(Orders)
  // Reads what is written from now on, and not what an earlier run left there.
  const consumer = yield* Consumer.assign({ topics: [Orders], from: "latest" })
  const producer = yield* Producer.make()
  yield* producer.sendAll(
    Array.from({ length: 1000 }, (_, id) => Orders.record({ key: String(id), value: { id, customer: "Ada" } }))
  )
  const records = yield* Stream.runCollect(Stream.take(consumer.records, 1000))
  yield* Console.log(`${Chunk.size(records)} orders, and ${yield* registry.requests} requests to the registry`)
}).pipe(Effect.scoped)

runExample(Effect.provide(program, SchemaRegistry.Default))
