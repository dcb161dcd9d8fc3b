/** `pnpm simulate` with a runner that needs no cluster. */
import { runInProcess } from "../../../src/internal/simulation/cli/process.ts"
import { fakeRunner } from "./fakeRunner.ts"

await runInProcess(fakeRunner)
