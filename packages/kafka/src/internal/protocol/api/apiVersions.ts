import { decodeResponse } from "../codec.ts"
import type { ResponseOf } from "../field.ts"
import { api, arrayOf, bool, int16, int64, string } from "../field.ts"
import { throttleTimeMs } from "./common.ts"

/**
 * The APIs and versions that a broker has. Every broker from 2.4 on has version 3; version 4, which only lifts a bound on
 * the features' lowest version, would cost an older broker a second request.
 */
export const ApiVersions = api({
  key: 18,
  name: "ApiVersions",
  versions: [0, 3],
  flexible: 3,
  request: {
    clientSoftwareName: string.since(3).ignorable,
    clientSoftwareVersion: string.since(3).ignorable
  },
  response: {
    errorCode: int16,
    apiKeys: arrayOf({ apiKey: int16, minVersion: int16, maxVersion: int16 }),
    throttleTimeMs: throttleTimeMs.since(1),
    supportedFeatures: arrayOf({ name: string, minVersion: int16, maxVersion: int16 }).since(3).tagged(0).ignorable,
    finalizedFeaturesEpoch: int64.since(3).tagged(1).default(-1).ignorable,
    finalizedFeatures: arrayOf({
      name: string,
      maxVersionLevel: int16,
      minVersionLevel: int16
    }).since(3).tagged(2).ignorable,
    zkMigrationReady: bool.since(3).tagged(3).default(false).ignorable
  }
})

const unsupportedVersion = 35

/**
 * Decodes the response to a request of `version`. A broker that lacks the version answers with error 35 in version 0,
 * whatever was asked (KIP-511): then the result is that, and its `apiKeys` say what the broker has.
 */
export const decodeApiVersionsResponse = (version: number, body: Uint8Array): ResponseOf<typeof ApiVersions> => {
  const errorCode = body.length < 2 ? 0 : body[0]! << 8 | body[1]!
  return decodeResponse(ApiVersions, errorCode === unsupportedVersion ? 0 : version, body)
}

/**
 * Whether a broker takes `text` as the name or version of a client's software; it answers error 42 to any other
 * (KIP-511). A package's scope, as in `@sluice/kafka`, is none.
 */
export const isClientSoftware = (text: string): boolean => /^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$/.test(text)
