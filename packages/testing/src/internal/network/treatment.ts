import type { Exchange } from "./event.ts"

/** What is done to one request beside, or instead of, serving it. Several faults may have a hand in it. */
export interface Treatment {
  isRequestLost: boolean
  isResponseLost: boolean
  /** The connection breaks before the broker has it whole, or before the client has the answer. */
  reset: "request" | "response" | undefined
  /** Milliseconds; 0 for none. */
  throttleMs: number
  /** The error code with which the broker answers. */
  error: number | undefined
}

/** A treatment that does nothing yet. */
export const noTreatment = (): Treatment => ({
  isRequestLost: false,
  isResponseLost: false,
  reset: undefined,
  throttleMs: 0,
  error: undefined
})

/** A response that says how long the client is to keep quiet, in versions that can. */
export const throttled = ({ api, version }: Exchange, body: unknown, throttleMs: number): unknown => {
  const versions = api.response["throttleTimeMs"]?.spec.versions
  const canTell = versions !== undefined && version >= versions[0] && version <= versions[1]
  return throttleMs > 0 && canTell ? { ...body as object, throttleTimeMs: Math.ceil(throttleMs) } : body
}
