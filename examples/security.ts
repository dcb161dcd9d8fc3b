/**
 * How to connect with TLS and SASL, with secrets from the environment. Nothing is connected here: a client opens its
 * first connection when it is first used.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Kafka } from "@sluice/kafka"
import { KafkaJs } from "@sluice/kafkajs"
import { Config, ConfigProvider, Console, Effect, Layer, Redacted } from "effect"

/** TLS with the system's certificate authorities, and a user with a password. */
const Scram = Layer.unwrapEffect(Effect.map(
  Config.all({
    brokers: Config.string("BROKERS"),
    username: Config.string("USERNAME"),
    password: Config.redacted("PASSWORD")
  }).pipe(Config.nested("KAFKA")),
  ({ brokers, password, username }) =>
    KafkaJs.layer({ brokers, clientId: "billing", ssl: true, sasl: { mechanism: "scram-sha-512", username, password } })
))

/** TLS with an authority of one's own and a certificate for the client, as Node's `tls.connect` takes them. */
const MutualTls = KafkaJs.layer({
  brokers: ["one.internal:9093", "two.internal:9093"],
  ssl: { ca: "(PEM)", cert: "(PEM)", key: "(PEM)" }
})

/** Tokens of an identity provider; asked for again before they expire. */
const Oauth = KafkaJs.layer({
  brokers: "one.internal:9093",
  ssl: true,
  sasl: {
    mechanism: "oauthbearer",
    oauthBearerProvider: Effect.succeed({ value: Redacted.make("(token)"), extensions: { logicalCluster: "lkc-1" } })
  }
})

const environment = ConfigProvider.fromMap(
  new Map([["KAFKA.BROKERS", "localhost:9093"], ["KAFKA.USERNAME", "ada"], ["KAFKA.PASSWORD", "secret"]])
)

const program = Effect.forEach(
  [Scram, MutualTls, Oauth],
  (layer) =>
    Effect.flatMap(Kafka.Kafka, ({ clientId }) => Console.log(`the client "${clientId}" is configured`)).pipe(
      Effect.provide(layer)
    )
)

NodeRuntime.runMain(Effect.withConfigProvider(program, environment))
