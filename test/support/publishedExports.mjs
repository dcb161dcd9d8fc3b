/** Module hooks (`module.register`): the workspace's packages resolve as they will once they are published. */

let packages = []

export const initialize = (data) => {
  packages = data
}

/** The target of a subpath by an `exports` map with exact keys and keys with one star. */
const targetOf = (exports, subpath) => {
  const exact = exports[subpath]
  if (exact !== undefined) return exact
  const patterns = Object.entries(exports)
    .filter(([key]) => key.endsWith("*") && subpath.startsWith(key.slice(0, -1)))
    .sort(([one], [other]) => other.length - one.length)
  const [key, target] = patterns[0] ?? []
  return key === undefined ? undefined : { import: target.import.replace("*", subpath.slice(key.length - 1)) }
}

export const resolve = (specifier, context, next) => {
  const owner = packages.find(({ name }) => specifier === name || specifier.startsWith(`${name}/`))
  if (owner === undefined) return next(specifier, context)
  const target = targetOf(owner.exports, `.${specifier.slice(owner.name.length)}`)
  if (target === undefined) throw new Error(`${owner.name} does not publish ${specifier}`)
  return next(new URL(target.import ?? target, owner.url).href, context)
}
