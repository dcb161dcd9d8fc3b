/** `pnpm simulate`: see `--help`. */
import { runInProcess } from "./process.ts"
import { besides } from "./thread.ts"

await runInProcess({ plan: besides("../plan", import.meta.url), run: besides("../run", import.meta.url) })
