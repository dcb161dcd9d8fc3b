import { join, relative } from "node:path"
import { parseArgs } from "node:util"

import { Data, Effect } from "effect"

const defaultFile = relative(process.cwd(), join(import.meta.dirname, "..", "data", "access.log"))

export const help = `Usage: node examples/demo.ts [options]

Sends the lines of a file through a topic of 6 partitions, handles each in a
consumer group of two members, and checks that none was lost or handled twice.

  --file <path>            the file; default ${defaultFile}
  --lines <n>              send n lines, from the file's start again where it is
                           shorter; default the whole file, once
  --brokers <host:port>    a Kafka cluster; default a cluster in memory.
                           Several with commas between them
  --topic <name>           use this topic, which is created if it is not there;
                           default a new one, deleted at the end
  --help                   print this`

/** What the command line asks for. */
export interface Arguments {
  readonly file: string
  readonly lines: number | undefined
  readonly brokers: string | undefined
  readonly topic: string | undefined
}

/** The program was called with something that it does not understand. */
export class UsageError extends Data.TaggedError("UsageError")<{ readonly message: string }> {}

/** Reads the arguments; undefined where help is asked for. */
export const parseArguments = (args: ReadonlyArray<string>): Effect.Effect<Arguments | undefined, UsageError> =>
  Effect.gen(function*() {
    const { values } = yield* Effect.try({
      try: () =>
        parseArgs({
          args: Array.from(args),
          options: {
            file: { type: "string" },
            lines: { type: "string" },
            brokers: { type: "string" },
            topic: { type: "string" },
            help: { type: "boolean", short: "h" }
          }
        }),
      catch: (error) => new UsageError({ message: error instanceof Error ? error.message : String(error) })
    })
    if (values.help === true) return undefined
    const lines = values.lines === undefined ? undefined : Number(values.lines)
    if (lines !== undefined && (!Number.isSafeInteger(lines) || lines < 1)) {
      return yield* new UsageError({ message: `--lines must be a whole number from 1, got "${values.lines}"` })
    }
    return { file: values.file ?? defaultFile, lines, brokers: values.brokers, topic: values.topic }
  })
