/** Says how long a file of tests took. */
import { afterAll, beforeAll } from "vitest"

/** Prints it once the tests of the file have run. */
export const reportDuration = (what: string): void => {
  let start: number
  beforeAll(() => {
    start = performance.now()
  })
  afterAll(() => {
    console.log(`${what} took ${((performance.now() - start) / 1_000).toFixed(1)} s`)
  })
}
