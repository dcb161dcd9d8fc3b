import type { RunnerModules } from "../../../src/internal/simulation/cli/runner.ts"

/** A runner that needs no cluster. */
export const fakeRunner: RunnerModules = {
  plan: new URL("./fakePlan.ts", import.meta.url).href,
  run: new URL("./fakeRun.ts", import.meta.url).href
}
