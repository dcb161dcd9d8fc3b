/** Compressed bytes that expand to more than was allowed. */
export class ExpandedTooLarge extends Error {
  override readonly name = "ExpandedTooLarge"
}
