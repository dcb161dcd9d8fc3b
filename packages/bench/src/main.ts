/**
 * Sluice beside raw kafkajs on a real broker, in one run, the cases in turn:
 * rate, CPU of the client per record, peak memory, ratios.
 */
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { parseArgs, promisify } from "node:util"

import { startKafka } from "@sluice/test/support/kafka"
import { createTopic } from "@sluice/test/support/topics"

import type { Measured } from "./measure.ts"

const help = `pnpm bench [--records 1000000] [--rounds 3] [--partitions 3] [--brokers host:port]

Without --brokers it starts Apache Kafka (needs Java 17 and Maven).`

const { values } = parseArgs({
  options: {
    records: { type: "string", default: "1000000" },
    rounds: { type: "string", default: "3" },
    partitions: { type: "string", default: "3" },
    brokers: { type: "string" },
    help: { type: "boolean", default: false }
  }
})
if (values.help) {
  console.log(help)
  process.exit(0)
}
const records = Number(values.records)
const rounds = Number(values.rounds)
const partitions = Number(values.partitions)

const run = promisify(execFile)
const runCase = async (name: string, brokers: string, topic: string, count: number): Promise<Measured> => {
  const file = fileURLToPath(new URL(`cases/${name}.ts`, import.meta.url))
  const { stdout } = await run(process.execPath, ["--no-warnings", file, brokers, topic, String(count)], {
    maxBuffer: 1 << 24,
    timeout: 180_000
  })
  return JSON.parse(stdout.trim().split("\n").at(-1)!)
}

const results = new Map<string, Array<Measured>>()
const kafka = values.brokers === undefined ? await startKafka({ heap: "1g" }) : undefined
const brokers = values.brokers ?? kafka!.brokers
try {
  for (let round = 0; round <= rounds; round++) {
    const warmUp = round === 0
    for (const client of round % 2 === 0 ? ["sluice", "kafkajs"] : ["kafkajs", "sluice"]) {
      const topic = await createTopic(brokers, { partitions })
      const count = warmUp ? Math.min(records, 50_000) : records
      for (const [mode, expected] of [["Produce", count], ["Consume", count + 1]] as const) {
        const measured = await runCase(`${client}${mode}`, brokers, topic, mode === "Produce" ? count : expected)
        const label = `${mode.toLowerCase()} ${client}`
        console.error(
          `${warmUp ? "warm-up" : `round ${round}`}  ${label.padEnd(16)} ${rate(measured)}  ${cpu(measured)}`
        )
        if (!warmUp) results.set(label, [...results.get(label) ?? [], measured])
      }
    }
  }
} finally {
  await kafka?.stop()
}

function rate({ records, seconds }: Measured): string {
  return `${Math.round(records / seconds).toLocaleString("en")} records/s`
}

function cpu({ cpuSeconds, records }: Measured): string {
  return `${(cpuSeconds / records * 1e6).toFixed(2)} µs CPU`
}

const median = (numbers: ReadonlyArray<number>): number => numbers.toSorted((a, b) => a - b)[numbers.length >> 1]!
const ratios = (mode: string, of: (measured: Measured) => number): number =>
  median(results.get(`${mode} sluice`)!.map((measured, i) => of(measured) / of(results.get(`${mode} kafkajs`)![i]!)))

console.log(
  `\n${records.toLocaleString("en")} records of 200 bytes, ${partitions} partitions, ${rounds} rounds, medians\n`
)
console.log("| case | records/s | CPU µs/record | peak RSS MB |\n|---|---|---|---|")
for (const [label, list] of results) {
  const m = (of: (measured: Measured) => number) => median(list.map(of))
  console.log(
    `| ${label} | ${Math.round(m((x) => x.records / x.seconds)).toLocaleString("en")} | ${
      m((x) => x.cpuSeconds / x.records * 1e6).toFixed(2)
    } | ${Math.round(m((x) => x.peakRssMb))} |`
  )
}
for (const mode of ["produce", "consume"]) {
  console.log(
    `\n${mode}: ${ratios(mode, (x) => x.records / x.seconds).toFixed(2)} times kafkajs' rate at ${
      ratios(mode, (x) => x.cpuSeconds / x.records).toFixed(2)
    } of its CPU per record`
  )
}
