import { api, array, int16, string } from "../field.ts"

/** Agrees on a SASL mechanism. */
export const SaslHandshake = api({
  key: 17,
  name: "SaslHandshake",
  versions: [1, 1],
  flexible: Infinity,
  request: { mechanism: string },
  response: { errorCode: int16, mechanisms: array(string) }
})
