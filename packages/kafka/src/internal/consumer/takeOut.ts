/**
 * An element of an array that nobody reads again, which is left without it. An effect that masks interruption, or waits, may
 * be kept with all that it refers to until V8 collects its old objects: a chunk's array should not keep its records so long,
 * which are copied by each collection meanwhile, at twice the cost of all else.
 */
export const takeOut = <A>(array: ReadonlyArray<A>, index: number): A => {
  const element = array[index]!
  ;(array as Array<A | undefined>)[index] = undefined
  return element
}
