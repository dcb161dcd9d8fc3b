/** The proxy that the other tests here rely on, before a broker that answers each request with its own body. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net"

import { afterEach, assert, beforeEach, describe, it } from "@effect/vitest"

import { until } from "../support/operator.ts"
import { everyNth, type Frame, hold, latency, type Proxy, type Rule, startProxy, throttle } from "../support/proxy.ts"

const frameOf = (...parts: ReadonlyArray<Buffer>): Buffer => {
  const content = Buffer.concat(parts)
  const size = Buffer.alloc(4)
  size.writeInt32BE(content.length)
  return Buffer.concat([size, content])
}

const request = (correlationId: number, body: string): Buffer => {
  const header = Buffer.alloc(8)
  header.writeInt16BE(3, 0)
  header.writeInt16BE(9, 2)
  header.writeInt32BE(correlationId, 4)
  return frameOf(header, Buffer.from(body))
}

/** Every whole frame that a socket gives, without its size. */
const onFrames = (socket: Socket, heard: (frame: Buffer) => void): void => {
  let buffered: Buffer = Buffer.alloc(0)
  socket.on("data", (bytes: Buffer) => {
    buffered = Buffer.concat([buffered, bytes])
    while (buffered.length >= 4 && buffered.length >= 4 + buffered.readInt32BE(0)) {
      const end = 4 + buffered.readInt32BE(0)
      heard(buffered.subarray(4, end))
      buffered = buffered.subarray(end)
    }
  })
}

const startEcho = (): Promise<Server> =>
  new Promise((resolve) => {
    const server = createServer((socket) => {
      socket.on("error", () => {})
      onFrames(socket, (frame) => socket.write(frameOf(frame.subarray(4))))
    })
    server.listen(0, "127.0.0.1", () => resolve(server))
  })

interface Client {
  readonly socket: Socket
  /** Correlation ids and bodies of the answers. */
  readonly answers: Array<string>
  /** How the connection ended, if it has. */
  readonly end: () => string | undefined
}

let server: Server
let proxy: Proxy

const startClient = (): Promise<Client> =>
  new Promise((resolve) => {
    const [host, port] = proxy.address.split(":") as [string, string]
    const socket = connect({ host, port: Number(port) })
    const answers: Array<string> = []
    let end: string | undefined
    onFrames(socket, (frame) => answers.push(`${frame.readInt32BE(0)} ${frame.subarray(4).toString()}`))
    socket.on("end", () => end ??= "end")
    socket.on("error", (error: NodeJS.ErrnoException) => end ??= error.code)
    socket.on("connect", () => resolve({ socket, answers, end: () => end }))
  })

beforeEach(async () => {
  server = await startEcho()
  proxy = await startProxy()
  proxy.target = `127.0.0.1:${(server.address() as AddressInfo).port}`
})

afterEach(async () => {
  await proxy.close()
  await new Promise((resolve) => server.close(resolve))
})

const isResponse = ({ direction }: Frame): boolean => direction === "response"

const isRequest = ({ direction }: Frame): boolean => direction === "request"

/** Sends three requests under a rule. */
const three = async (rule: Rule): Promise<Client> => {
  proxy.rule = rule
  const client = await startClient()
  for (const id of [1, 2, 3]) client.socket.write(request(id, `body ${id}`))
  return client
}

const answered = (client: Client, ...expected: ReadonlyArray<string>) =>
  until(`answers ${expected.join(", ")}`, () => client.answers.length >= expected.length ? true : undefined).then(() =>
    assert.deepStrictEqual(client.answers, expected)
  )

const ended = (client: Client) => until("the connection ends", client.end)

describe("the proxy", () => {
  it("passes frames on, and knows what they are about", async () => {
    const seen: Array<unknown> = []
    const client = await three(({ apiKey, apiVersion, direction }) => {
      seen.push([direction, apiKey, apiVersion])
      return "pass"
    })
    await answered(client, "1 body 1", "2 body 2", "3 body 3")
    assert.sameDeepMembers(
      seen,
      ["request", "response"].flatMap((direction) => [[direction, 3, 9], [direction, 3, 9], [direction, 3, 9]])
    )
    assert.deepStrictEqual([proxy.connections(), proxy.open()], [1, 1])
    client.socket.destroy()
    await until("the connection is closed on both sides", () => proxy.open() === 0 ? true : undefined)
  })

  it("loses an answer, and keeps the connection", async () => {
    await answered(await three(everyNth(2, isResponse, "lose")), "1 body 1", "3 body 3")
  })

  it("replaces an answer", async () => {
    const rule = everyNth(2, isResponse, frameOf(Buffer.from([0, 0, 0, 9]), Buffer.from("else")))
    await answered(await three(rule), "1 body 1", "9 else", "3 body 3")
  })

  it("resets a connection before a request is there", async () => {
    const client = await three(everyNth(2, isRequest, "reset"))
    assert.strictEqual(await ended(client), "ECONNRESET")
    assert.isAtMost(client.answers.length, 1)
  })

  it("passes half a frame, and resets the connection", async () => {
    const client = await three(everyNth(1, isResponse, "halve"))
    assert.strictEqual(await ended(client), "ECONNRESET")
    assert.deepStrictEqual(client.answers, [])
  })

  it("ends a connection on one side", async () => {
    const client = await three(everyNth(2, isResponse, "end"))
    assert.strictEqual(await ended(client), "end")
    assert.deepStrictEqual(client.answers, ["1 body 1"])
  })

  it("delays frames side by side, in their order", async () => {
    let delay = 400
    const start = performance.now()
    await answered(await three(latency(() => delay -= 50)), "1 body 1", "2 body 2", "3 body 3")
    const duration = performance.now() - start
    assert.isAtLeast(duration, 450)
    assert.isBelow(duration, 1_500)
  })

  it("lets so many bytes through a second", async () => {
    const start = performance.now()
    const client = await three(throttle(200))
    await answered(client, "1 body 1", "2 body 2", "3 body 3")
    // Three requests of 18 bytes, and an answer after the last one.
    assert.isAtLeast(performance.now() - start, (54 + 14) / 200 * 1_000 - 20)
  })

  it("holds frames until they are released", async () => {
    const { held, release, rule } = hold(isResponse)
    const client = await three(rule)
    await until("answers are held", () => held() === 3 ? true : undefined)
    assert.deepStrictEqual(client.answers, [])
    proxy.rule = () => "pass"
    release()
    await answered(client, "1 body 1", "2 body 2", "3 body 3")
  })

  it("cuts all connections", async () => {
    const client = await three(() => "pass")
    await answered(client, "1 body 1", "2 body 2", "3 body 3")
    proxy.cut()
    assert.strictEqual(await ended(client), "ECONNRESET")
  })

  it("takes connections to a broker that is dead, and ends them", async () => {
    await new Promise((resolve) => server.close(resolve))
    const client = await startClient()
    assert.isString(await ended(client))
    server = await startEcho()
  })
})
