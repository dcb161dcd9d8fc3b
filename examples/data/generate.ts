/**
 * Writes `access.log`, the input of the examples: requests of an imaginary shop in the Common Log Format, the same at
 * each run. Clients have addresses that are reserved for documentation (RFC 5737), so nobody's are in it. Run it with
 * `node examples/data/generate.ts`.
 */
import { writeFileSync } from "node:fs"
import { join } from "node:path"

const lineCount = 16_000
const startTime = Date.UTC(2026, 0, 5)

let state = 42
/** From 0 to 1, 1 left out (mulberry32). */
const random = (): number => {
  state = (state + 0x6d2b79f5) | 0
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
}

const integer = (below: number): number => Math.floor(random() * below)

/** The first ones of a list more often than the last ones. */
const pick = <A>(list: ReadonlyArray<A>): A => list[Math.floor(random() ** 2 * list.length)]!

const clients = ["203.0.113", "198.51.100", "192.0.2"].flatMap((network) =>
  Array.from({ length: 200 }, () => `${network}.${1 + integer(254)}`)
)

const categories = ["books", "music", "garden", "kitchen", "toys"]
const articles = Array.from({ length: 300 }, (_, index) => `/${pick(categories)}/${1000 + index * 7}`)
const assets = ["/style.css", "/app.js", "/logo.svg", "/favicon.ico"]

interface Request {
  readonly method: string
  readonly path: string
  readonly status: number
  readonly bytes: number
}

const request = (): Request => {
  const dice = random()
  if (dice < 0.35) return { method: "GET", path: pick(articles), status: 200, bytes: 4_000 + integer(20_000) }
  if (dice < 0.6) {
    return { method: "GET", path: pick(assets), status: random() < 0.6 ? 304 : 200, bytes: integer(9_000) }
  }
  if (dice < 0.75) return { method: "GET", path: "/", status: 200, bytes: 7_500 + integer(500) }
  if (dice < 0.86) return { method: "GET", path: `/search?q=${pick(categories)}`, status: 200, bytes: integer(30_000) }
  if (dice < 0.92) return { method: "POST", path: "/cart", status: 302, bytes: 0 }
  if (dice < 0.95) {
    return { method: "POST", path: "/checkout", status: random() < 0.97 ? 201 : 502, bytes: integer(900) }
  }
  if (dice < 0.99) return { method: "GET", path: `${pick(articles)}/reviews`, status: 404, bytes: 312 }
  return { method: "GET", path: "/wp-login.php", status: 403, bytes: 162 }
}

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

/** `05/Jan/2026:00:00:01 +0000` */
const timestamp = (time: number): string => {
  const [date, clock] = new Date(time).toISOString().slice(0, 19).split("T") as [string, string]
  const [year, month, day] = date.split("-") as [string, string, string]
  return `${day}/${months[Number(month) - 1]}/${year}:${clock} +0000`
}

let time = startTime
const lines = Array.from({ length: lineCount }, () => {
  time += Math.floor(-5_000 * Math.log(1 - random()))
  const { bytes, method, path, status } = request()
  return `${pick(clients)} - - [${timestamp(time)}] "${method} ${path} HTTP/1.1" ${status} ${
    status === 304 ? "-" : bytes
  }\n`
})

writeFileSync(join(import.meta.dirname, "access.log"), lines.join(""))
