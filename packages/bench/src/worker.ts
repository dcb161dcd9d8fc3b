/** The process of one measurement: `node worker.ts '<job as JSON>'`. Its last line of output is what it has measured. */
import { performance } from "node:perf_hooks"

import type { Client, Connect, Job, Measured } from "./client.ts"
import { Load } from "./load.ts"

/** So long may what comes before the clock starts take, in seconds. */
const warmUpSeconds = 3

const job = JSON.parse(process.argv[2]!) as Job
const { connect } = await import(`./clients/${job.client}.ts`) as { readonly connect: Connect }

/** Runs the measured part. */
const measure = async (run: () => Promise<void>): Promise<Pick<Measured, "cpuSeconds" | "peakRssMb" | "seconds">> => {
  const cpu = process.cpuUsage()
  const start = performance.now()
  await run()
  const seconds = (performance.now() - start) / 1_000
  const { system, user } = process.cpuUsage(cpu)
  return { seconds, cpuSeconds: (user + system) / 1e6, peakRssMb: process.resourceUsage().maxRSS / 1_024 }
}

const produce = async (client: Client): Promise<Measured> => {
  const send = client.modes[job.mode]
  if (send === undefined) throw new Error(`${job.client} has no ${job.mode}`)
  const warmUp = new Load({ first: 0, records: job.warmUp, seconds: warmUpSeconds, rate: job.rate })
  await send(warmUp)
  const load = new Load({ first: warmUp.taken, records: job.records, seconds: job.seconds, rate: job.rate })
  const measured = await measure(() => send(load))
  return { records: load.taken, total: warmUp.taken + load.taken, latency: load.latencies.percentiles, ...measured }
}

const consume = async (client: Client): Promise<Measured> => {
  const measured = await measure(() => client.consume!(job.records))
  return { records: job.records, total: job.records, ...measured }
}

const main = async (): Promise<Measured> => {
  const client = await connect(job)
  const measured = job.mode === "consume" ? await consume(client) : await produce(client)
  await client.close()
  const accepted = client.accepted?.()
  if (accepted !== undefined && accepted !== measured.total) {
    throw new Error(`${measured.total} records were acknowledged, and ${accepted} accepted`)
  }
  return measured
}

try {
  console.log(JSON.stringify(await main()))
} catch (error) {
  // Whatever a client that failed keeps running is of no interest.
  console.error(error)
  process.exit(1)
}
