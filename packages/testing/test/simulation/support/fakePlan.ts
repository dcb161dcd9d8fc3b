/** Half of a runner that needs no cluster: what a seed decides. */
import type { Plan } from "../../../src/internal/simulation/trial.ts"

/** Each seed crashes brokers 1 to 8, one a second. */
export const makePlan = (seed: number): Plan => {
  if (seed === 40) throw new Error("no plan for 40")
  return {
    seed,
    interleaving: seed % 2 === 0 ? {} : { extraYields: 0.05 },
    faults: Array.from({ length: 8 }, (_, index) => ({
      at: (index + 1) * 1000,
      fault: { _tag: "Crash", broker: index + 1, duration: 500 }
    }))
  }
}
