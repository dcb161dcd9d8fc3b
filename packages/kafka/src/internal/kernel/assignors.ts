import type { Assignor } from "./assignor.ts"
import { cooperativeStickyAssignor } from "./assignorCooperativeSticky.ts"
import { rangeAssignor } from "./assignorRange.ts"
import { roundRobinAssignor } from "./assignorRoundRobin.ts"
import { stickyAssignor } from "./assignorSticky.ts"

/** Every assignor, by its name. */
export const assignors: Readonly<Record<Assignor["name"], Assignor>> = {
  "cooperative-sticky": cooperativeStickyAssignor,
  sticky: stickyAssignor,
  range: rangeAssignor,
  roundrobin: roundRobinAssignor
}

/**
 * How a member rebalances that offers several assignors: cooperatively only if all of them can, whatever the group
 * chooses. Members of a group that goes over from an eager assignor to a cooperative one do not agree on that otherwise.
 */
export const protocolOf = (offered: ReadonlyArray<Assignor>): Assignor["protocol"] =>
  offered.every(({ protocol }) => protocol === "cooperative") ? "cooperative" : "eager"
