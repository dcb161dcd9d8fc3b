import * as Topic from "../../Topic.ts"

/** What a consumer subscribes to: topics, and patterns with the topics that they find in the cluster. */
export class Subscription {
  readonly #topics: ReadonlyMap<string, Topic.Any>
  readonly #patterns: ReadonlyArray<{ readonly test: RegExp; readonly source: Topic.TopicPattern<any, any> }>
  /** Of every topic that was ever in it: what was fetched of one that has dropped out may still be read. */
  readonly #definitions: Map<string, Topic.Any>
  #names: ReadonlySet<string>

  constructor(topics: ReadonlyMap<string, Topic.Any>, patterns: ReadonlyArray<Topic.TopicPattern<any, any>>) {
    this.#topics = topics
    // With `g` or `y` a test would depend on the one before it.
    this.#patterns = patterns.map((source) => ({
      test: new RegExp(source.pattern.source, source.pattern.flags.replace(/[gy]/g, "")),
      source
    }))
    this.#definitions = new Map(topics)
    this.#names = new Set(topics.keys())
  }

  /** Whether topics may come and go. */
  get hasPatterns(): boolean {
    return this.#patterns.length > 0
  }

  /** The topics that were asked for by name. */
  get explicit(): Iterable<string> {
    return this.#topics.keys()
  }

  /** All topics that are subscribed to now. Another set after each change. */
  get names(): ReadonlySet<string> {
    return this.#names
  }

  /** How the records of a topic are read. */
  definition(topic: string): Topic.Any {
    return this.#definitions.get(topic)!
  }

  /** Whether a pattern finds the topic. */
  finds(topic: string): boolean {
    return this.#patterns.some(({ test }) => test.test(topic))
  }

  /** Matches the patterns against the topics that the cluster has. Says what that changed. */
  match(
    existing: Iterable<string>
  ): { readonly added: ReadonlyArray<string>; readonly removed: ReadonlyArray<string> } {
    const names = new Set(this.#topics.keys())
    for (const name of existing) {
      if (names.has(name)) continue
      const pattern = this.#patterns.find(({ test }) => test.test(name))
      if (pattern === undefined) continue
      names.add(name)
      if (!this.#definitions.has(name)) this.#definitions.set(name, definitionOf(name, pattern.source))
    }
    const before = this.#names
    const added = Array.from(names).filter((name) => !before.has(name))
    const removed = Array.from(before).filter((name) => !names.has(name))
    if (added.length > 0 || removed.length > 0) this.#names = names
    return { added, removed }
  }
}

const definitionOf = (name: string, { key, tombstones, value }: Topic.TopicPattern<any, any>): Topic.Any =>
  tombstones ? Topic.make(name, { key, value, tombstones }) : Topic.make(name, { key, value })
