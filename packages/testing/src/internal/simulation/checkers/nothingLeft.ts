import type { Checker } from "../history.ts"
import type { Check } from "./check.ts"
import { Violations } from "./violations.ts"

const name = "nothing-left"

const check: Checker = ({ leftovers }) => {
  const violations = new Violations(name)
  for (const leftover of leftovers) violations.add(`left after everything was closed: ${leftover}`, undefined)
  return violations.all
}

/** After everything is closed no fiber, timer or connection is left. No exceptions. */
export const nothingLeft: Check = {
  name,
  statement: "nothing is left after everything is closed",
  check
}
