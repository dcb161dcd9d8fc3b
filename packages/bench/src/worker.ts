/** The process of one measurement: `node worker.ts '<job as JSON>'`. Its last line of output is what it has measured. */
import { performance } from "node:perf_hooks"
import { setTimeout as sleep } from "node:timers/promises"

import type { ClientModule, Job, Kind, Measured } from "./client.ts"
import { Latencies } from "./latencies.ts"
import { Load } from "./load.ts"
import { OrderCheck, valueCount, valueNumber } from "./records.ts"

/** So long may what comes before the clock starts take, in seconds. */
const warmUpSeconds = 3

/** An idle consumer is left alone for as long as it is measured before the clock starts, but no longer than this. */
const settleMillis = 3_000

/** So long is waited for the last records to be read. */
const lastRecordsMillis = 30_000

const job = JSON.parse(process.argv[2]!) as Job
const client = await import(`./clients/${job.client}.ts`) as ClientModule

const known = <A>(what: A | undefined): A => {
  if (what === undefined) throw new Error(`${job.client} has no ${job.mode}`)
  return what
}

/** Runs the measured part. */
const measure = async (
  run: () => Promise<unknown>
): Promise<Pick<Measured, "cpuSeconds" | "peakRssMb" | "seconds">> => {
  const cpu = process.cpuUsage()
  const start = performance.now()
  await run()
  const seconds = (performance.now() - start) / 1_000
  const { system, user } = process.cpuUsage(cpu)
  return { seconds, cpuSeconds: (user + system) / 1e6, peakRssMb: process.resourceUsage().maxRSS / 1_024 }
}

const loads = () => {
  const warmUp = new Load({ first: 0, records: job.warmUp, seconds: warmUpSeconds, rate: job.rate })
  const rest = () => new Load({ first: warmUp.taken, records: job.records, seconds: job.seconds, rate: job.rate })
  return { warmUp, rest }
}

const send = async (): Promise<Measured> => {
  const { accepted, close, modes } = await client.connect(job)
  const sendAll = known(modes[job.mode])
  const { rest, warmUp } = loads()
  await sendAll(warmUp)
  const load = rest()
  const measured = await measure(() => sendAll(load))
  await close()
  const total = warmUp.taken + load.taken
  const taken = accepted?.() ?? total
  if (taken !== total) throw new Error(`${total} records were acknowledged, and ${taken} accepted`)
  return { records: load.taken, total, latency: load.latencies.percentiles, ...measured }
}

const read = async (): Promise<Measured> => {
  const readAll = known(client.readers?.[job.mode])
  if (job.warmUp > 0) {
    const group = `${job.group}-warm-up`
    await readAll({ ...job, group, records: job.warmUp }, new OrderCheck())
  }
  const check = new OrderCheck()
  const measured = await measure(() => readAll(job, check))
  if (check.count !== job.records) throw new Error(`${check.count} records instead of ${job.records}`)
  return { records: job.records, total: job.records, ...measured }
}

const pass = async (): Promise<Measured> => {
  const check = new OrderCheck()
  const dueAt = new Float64Array(valueCount)
  let latencies = new Latencies()
  const stop = await known(client.listen)(job, (key, value) => {
    check.see(key, value)
    latencies.add(performance.now() - dueAt[valueNumber(value)]!)
  })
  const { close, modes } = await client.connect(job)
  const { rest, warmUp } = loads()
  const passAll = async (load: Load) => {
    load.onSend = (index, due) => {
      dueAt[index % valueCount] = due
    }
    await known(modes["rate"])(load)
    const last = warmUp === load ? load.taken : warmUp.taken + load.taken
    const deadline = performance.now() + lastRecordsMillis
    while (check.count < last && performance.now() < deadline) await sleep(5)
    if (check.count !== last) throw new Error(`${check.count} records were read instead of ${last}`)
  }
  await passAll(warmUp)
  latencies = new Latencies()
  const load = rest()
  const measured = await measure(() => passAll(load))
  await stop()
  await close()
  return { records: load.taken, total: check.count, latency: latencies.percentiles, ...measured }
}

const idle = async (): Promise<Measured> => {
  const stop = await known(client.listen)(job, () => {})
  await sleep(Math.min(settleMillis, job.seconds * 1_000))
  const measured = await measure(() => sleep(job.seconds * 1_000))
  await stop()
  return { records: 0, total: 0, ...measured }
}

const kinds: Record<Kind, () => Promise<Measured>> = { send, read, pass, idle }

try {
  console.log(JSON.stringify(await kinds[job.kind]()))
  // Some clients leave a timer behind.
  process.exit()
} catch (error) {
  // Whatever a client that failed keeps running is of no interest.
  console.error(error)
  process.exit(1)
}
