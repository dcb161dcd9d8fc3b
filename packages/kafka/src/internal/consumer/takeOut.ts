/**
 * An element of an array that nobody reads again, which is left without it. The arrays of many chunks live long enough to
 * be counted among the old objects, and until those are collected they would keep all that they held: young records were
 * copied again and again, at twice the cost of all else.
 */
export const takeOut = <A>(array: ReadonlyArray<A>, index: number): A => {
  const element = array[index]!
  ;(array as Array<A | undefined>)[index] = undefined
  return element
}
