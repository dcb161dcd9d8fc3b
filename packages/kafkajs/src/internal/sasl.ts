import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type { Mechanism } from "kafkajs"

import type { OauthBearerToken, SaslOptions } from "../KafkaJs.ts"
import type { SaslConfig } from "./kafkajs.ts"

const reveal = (secret: string | Redacted.Redacted<string>): string =>
  Redacted.isRedacted(secret) ? Redacted.value(secret) : secret

/**
 * The configuration for one authentication, with its secrets in the clear. Fails only where the application's own
 * provider of tokens does, with whatever that failed with.
 */
export const saslConfig = (options: SaslOptions): Effect.Effect<SaslConfig, unknown> => {
  if ("authenticationProvider" in options) return Effect.succeed({ ...options })
  switch (options.mechanism) {
    case "plain":
    case "scram-sha-256":
    case "scram-sha-512":
      return Effect.sync(() => ({ ...options, password: reveal(options.password) }))
    case "aws":
      return Effect.sync(() => ({
        ...options,
        secretAccessKey: reveal(options.secretAccessKey),
        sessionToken: options.sessionToken === undefined ? "" : reveal(options.sessionToken)
      }))
    case "oauthbearer":
      return Effect.map(token(options.oauthBearerProvider), (token) => ({ ...oauthBearer(token) }))
  }
}

const token = (
  provider: Extract<SaslOptions, { readonly oauthBearerProvider: unknown }>["oauthBearerProvider"]
): Effect.Effect<OauthBearerToken, unknown> =>
  Effect.isEffect(provider)
    // Disconnected: a provider that cannot be interrupted must not outlast the connect timeout.
    ? provider.pipe(Effect.interruptible, Effect.disconnect)
    : Effect.tryPromise({ try: () => provider(), catch: (cause) => cause })

/**
 * OAUTHBEARER (RFC 7628) in place of kafkajs' own, which never reads the broker's answer and so takes a refused token
 * for an accepted one: the broker refuses with a message, and fails only once the client has acknowledged that.
 */
const oauthBearer = ({ extensions = {}, value }: OauthBearerToken): Mechanism => ({
  mechanism: "oauthbearer",
  authenticationProvider: ({ saslAuthenticate }) => {
    const exchange = (message: string): Promise<Buffer | void> =>
      saslAuthenticate({
        request: { encode: () => sized(message) },
        response: { decode: (answer) => answer.subarray(4), parse: (answer) => answer }
      })
    return {
      authenticate: async () => {
        const pairs = Object.entries(extensions).map(([name, extension]) => `${name}=${extension}${separator}`)
        const refusal = await exchange(
          `n,,${separator}auth=Bearer ${reveal(value)}${separator}${pairs.join("")}${separator}`
        )
        if (refusal === undefined || refusal.length === 0) return
        await exchange(separator)
        throw Object.assign(new Error(`the token was refused: ${refusal.toString("utf8")}`), {
          name: "KafkaJSSASLAuthenticationError"
        })
      }
    }
  }
})

const separator = "\u0001"

/** kafkajs wants the bytes of a mechanism with their length before them. */
const sized = (message: string): Buffer => {
  const bytes = Buffer.from(message)
  const prefix = Buffer.alloc(4)
  prefix.writeInt32BE(bytes.length)
  return Buffer.concat([prefix, bytes])
}
