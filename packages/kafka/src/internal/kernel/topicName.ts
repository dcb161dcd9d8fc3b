/** What is wrong with a topic's name, as brokers would say it; undefined if it is legal. */
export const validateTopicName = (name: string): string | undefined => {
  if (typeof name !== "string") return "illegal topic name: it is not a string"
  const problem = name.length === 0
    ? "is empty"
    : name.length > 249
    ? `has ${name.length} characters; at most 249 are allowed`
    : name === "." || name === ".."
    ? "is \".\" or \"..\""
    : !/^[a-zA-Z0-9._-]+$/.test(name)
    ? "has other characters than a-z, A-Z, 0-9, \".\", \"_\" and \"-\""
    : undefined
  return problem === undefined ? undefined : `illegal topic name ${JSON.stringify(name.slice(0, 260))}: it ${problem}`
}
