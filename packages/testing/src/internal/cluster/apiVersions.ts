import { ApiVersions, isClientSoftware } from "@sluice/kafka/internal/protocol/api/apiVersions"
import type { AnyApi, RequestOf, ResponseInput } from "@sluice/kafka/internal/protocol/field"

import { errorCode } from "./errorCode.ts"

const range = (api: AnyApi) => ({ apiKey: api.key, minVersion: api.versions[0], maxVersion: api.versions[1] })

/** What a broker that has `apis` answers to ApiVersions. */
export const handleApiVersions = (
  apis: ReadonlyArray<AnyApi>,
  version: number,
  request: RequestOf<typeof ApiVersions>
): ResponseInput<typeof ApiVersions> => {
  const named = isClientSoftware(request.clientSoftwareName) && isClientSoftware(request.clientSoftwareVersion)
  return version >= 3 && !named
    ? { errorCode: errorCode.InvalidRequest, apiKeys: [] }
    : { errorCode: errorCode.None, apiKeys: apis.map(range) }
}

/** The answer, in version 0, to a version of ApiVersions that the broker lacks (KIP-511). */
export const unsupportedApiVersions: ResponseInput<typeof ApiVersions> = {
  errorCode: errorCode.UnsupportedVersion,
  apiKeys: [range(ApiVersions)]
}
