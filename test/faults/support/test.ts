/** One test of a file that has brokers of its own. */
import { it } from "@effect/vitest"
import * as Conformance from "@sluice/testing/Conformance"
import { Effect, type Scope } from "effect"

import { activeResources } from "../../support/client.ts"

/** Defines a test that leaves no fiber, socket or timer behind. */
export const test = (name: string, self: Effect.Effect<void, unknown, Scope.Scope>): void =>
  it.live(name, () =>
    Effect.scoped(self).pipe(
      Conformance.nothingLeft({ leftovers: activeResources, patience: "10 seconds" })
    ))
