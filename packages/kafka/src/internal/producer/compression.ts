import * as Effect from "effect/Effect"

import type { FatalError } from "../../KafkaError.ts"
import type { Compression } from "../../Producer.ts"
import type { Check } from "../cluster/settings.ts"
import {
  builtInCodecs,
  type Codec,
  type CodecLookup,
  compressionLevels,
  compressionTypes,
  gzipAt,
  missingCodec,
  zstdAt
} from "../kernel/compression.ts"

/** The codec of a producer's option; `undefined` for none. Fails for what is no compression, or not there on this Node. */
export const parseCompression = (
  check: Check,
  option: Compression | undefined,
  codecs: CodecLookup = builtInCodecs
): Effect.Effect<Codec | undefined, FatalError> =>
  Effect.gen(function*() {
    const lookUp = (type: Codec["type"]) => {
      const codec = codecs(compressionTypes[type])
      return codec === undefined
        ? check.fail("compression", `is "${type}", and ${missingCodec(compressionTypes[type])}`)
        : Effect.succeed(codec)
    }
    if (typeof option !== "object" || option === null) {
      const type = yield* check.oneOf("compression", option, "none", ["none", "gzip", "snappy", "lz4", "zstd"])
      return type === "none" ? undefined : yield* lookUp(type)
    }
    if (option.type !== "gzip" && option.type !== "zstd") {
      return yield* check.fail("compression.type", "must be \"gzip\" or \"zstd\", where a level is given")
    }
    const { default: fallback, max, min } = compressionLevels[option.type]
    const level = yield* check.integer("compression.level", option.level, fallback, { min, max })
    yield* lookUp(option.type)
    return option.type === "gzip" ? gzipAt(level) : zstdAt(level)
  })
