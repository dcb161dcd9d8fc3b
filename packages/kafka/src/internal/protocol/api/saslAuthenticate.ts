import { api, bytes, int16, int64, string } from "../field.ts"

/** One exchange of a SASL mechanism. A session's lifetime of 0 means that it never ends (KIP-368). */
export const SaslAuthenticate = api({
  key: 36,
  name: "SaslAuthenticate",
  versions: [1, 2],
  flexible: 2,
  request: { authBytes: bytes },
  response: {
    errorCode: int16,
    errorMessage: string.nullable(),
    authBytes: bytes,
    sessionLifetimeMs: int64.default(0)
  }
})
