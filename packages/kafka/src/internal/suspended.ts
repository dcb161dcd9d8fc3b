import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"

/** What Effect's runtime runs to suspend a fiber. */
interface AsyncInstruction {
  _op: string
  effect_instruction_i0: unknown
  effect_instruction_i1: unknown
}

type AsyncInstructionClass = new(op: "Async") => Effect.Effect<never> & AsyncInstruction

/** The instruction that `Effect.async` becomes, if it is what we know. */
const instructionClass = (): AsyncInstructionClass | undefined => {
  const async = Effect.async<never>((_resume) => {}) as { readonly commit?: () => AsyncInstruction }
  const instruction = async.commit?.()
  return instruction?._op === "Async" && typeof instruction.effect_instruction_i0 === "function"
    ? instruction.constructor as AsyncInstructionClass
    : undefined
}

export const Instruction = instructionClass()

/**
 * `Effect.async` for a `register` that undoes nothing: it is called each time the fiber waits, and what is resumed after an
 * interruption goes nowhere.
 *
 * `Effect.async` writes a function to a member, which V8 therefore allocates among its old objects, with the fiber and all
 * else that it leads to (docs/internals.md). For what waits for each request, this makes the same instruction of `register`
 * itself, as long as Effect is built as we know it.
 */
export const suspended = <A, E = never>(
  register: (resume: (effect: Effect.Effect<A, E>) => void) => void
): Effect.Effect<A, E> => {
  if (Instruction === undefined) return Effect.async<A, E>((resume) => register(resume))
  const instruction = new Instruction("Async")
  instruction.effect_instruction_i0 = register
  instruction.effect_instruction_i1 = FiberId.none
  return instruction
}
