/** The other half: seed 13 fails where brokers 3 and 6 crash, 20 always, 41 throws, 42 never ends. */
import type { Violation } from "../../../src/internal/simulation/history.ts"
import type { Outcome, Plan, TimelineEntry } from "../../../src/internal/simulation/trial.ts"

const violationsOf = ({ faults, seed }: Plan): ReadonlyArray<Violation> => {
  const crashed = faults.map(({ fault }) => fault._tag === "Crash" ? fault.broker : 0)
  return seed === 13 && crashed.includes(3) && crashed.includes(6)
    ? [{ invariant: "no-loss", message: "record 7 is gone", time: 6100 }]
    : seed === 20
    ? [{ invariant: "no-duplicate", message: "record 8 is there twice", time: undefined }]
    : []
}

const timelineOf = (plan: Plan): ReadonlyArray<TimelineEntry> => [
  ...plan.faults.map(({ at, fault }): TimelineEntry => ({
    time: at,
    actor: "fault",
    kind: "fault",
    text: `begins: ${fault._tag}`
  })),
  { time: 9000, actor: "producer-a", kind: "producer", text: "7 is acknowledged at 0/12" },
  { time: 9001, actor: "member-a", kind: "consumer", text: "handles 9 of 0/12" }
]

export const runPlan = (plan: Plan, options: { readonly timeline: boolean }): Outcome => {
  if (plan.seed === 41) throw new TypeError("cannot run 41")
  while (plan.seed === 42);
  return {
    plan,
    violations: violationsOf(plan),
    records: 10,
    faults: plan.faults.length,
    faultKinds: plan.faults.length === 0 ? [] : ["Crash"],
    time: 10_000,
    steps: 100,
    timeline: options.timeline ? timelineOf(plan) : []
  }
}
