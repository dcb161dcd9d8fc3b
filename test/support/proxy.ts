/**
 * A TCP proxy before one broker that knows the frames of Kafka's protocol: a test loses, holds, delays, damages or cuts
 * whichever it likes. The proxies there are (toxiproxy and the like) see bytes, and so cannot lose the answer of one
 * kind of request; nor are they to be had as a package.
 */
import { type AddressInfo, connect, createServer, type Socket } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"

/** A request or a response on its way. */
export interface Frame {
  readonly direction: "request" | "response"
  /** Of all connections of the proxy, in the order in which they were made. */
  readonly connection: number
  /** Of a response: those of its request. */
  readonly apiKey: number
  readonly apiVersion: number
  /** All of it, with the size before it. */
  readonly bytes: Buffer
}

/** What becomes of a frame; bytes replace its own. */
export type Fate =
  | "pass"
  /** It never arrives, and its connection stays open. */
  | "lose"
  /** It never arrives, and its connection is reset. */
  | "reset"
  /** Half of it arrives, and then the connection is reset. */
  | "halve"
  /** It never arrives, and nothing that follows it either: whom it was for is told that no more will come (FIN). */
  | "end"
  | Buffer

/** Decides about each frame. A promise delays the frame, and those behind it in its direction of its connection. */
export type Rule = (frame: Frame) => Fate | Promise<Fate>

/** A proxy of this process. */
export interface Proxy {
  /** `127.0.0.1:port`. */
  readonly address: string
  /** Whom it stands for, as `host:port`: it takes no connection before it is told. */
  target: string | undefined
  /** What it does with frames; everything passes at first. */
  rule: Rule
  /** How many connections it has had. */
  readonly connections: () => number
  /** How many of them are open. */
  readonly open: () => number
  /** Resets all connections. */
  readonly cut: () => void
  /** Takes no more, and resets all connections. */
  readonly close: () => Promise<void>
}

/** Nothing happens to any frame. */
export const passAll: Rule = () => "pass"

/** Cuts a stream of bytes into frames: a size of four bytes, and as many bytes. */
async function* framesOf(socket: Socket): AsyncGenerator<Buffer> {
  let buffered: Buffer = Buffer.alloc(0)
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    buffered = buffered.length === 0 ? chunk : Buffer.concat([buffered, chunk])
    while (buffered.length >= 4) {
      const length = 4 + buffered.readInt32BE(0)
      if (buffered.length < length) break
      yield buffered.subarray(0, length)
      buffered = buffered.subarray(length)
    }
  }
}

/** Ends a connection by RST; one that is being closed properly cannot be reset any more, and its handle would be left. */
const reset = (socket: Socket): void => {
  if (socket.writableEnded) socket.destroy()
  else socket.resetAndDestroy()
}

/** Passes on what comes `from` one side, each frame in its turn. `decide` hears of a frame as soon as it is there. */
const pump = async (from: Socket, to: Socket, decide: (bytes: Buffer) => Fate | Promise<Fate>): Promise<void> => {
  let isOver = false
  const apply = (bytes: Buffer, fate: Fate): void => {
    if (isOver || fate === "lose") return
    if (typeof fate !== "string") to.write(fate)
    else if (fate === "pass") to.write(bytes)
    else {
      isOver = true
      if (fate === "end") {
        to.end()
        return
      }
      reset(from)
      if (fate === "reset") reset(to)
      else to.write(bytes.subarray(0, bytes.length >> 1), () => reset(to))
    }
  }
  let turn = Promise.resolve()
  try {
    for await (const bytes of framesOf(from)) {
      const fate = Promise.resolve(decide(bytes))
      turn = turn.then(async () => apply(bytes, await fate))
    }
  } catch {
    // The connection broke: what has come of it is passed on.
  }
  await turn.catch(() => to.destroy())
  if (!isOver) to.destroySoon()
}

/** A proxy that listens on a port of its own. */
export const startProxy = async (): Promise<Proxy> => {
  const sockets = new Set<Socket>()
  let opened = 0
  let open = 0

  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const [host, port] = (proxy.target ?? "").split(":") as [string, string | undefined]
    if (port === undefined) {
      client.destroy()
      return
    }
    const connection = opened++
    open++
    const broker = connect({ host, port: Number(port), allowHalfOpen: true, noDelay: true })
    for (const [socket, other] of [[client, broker], [broker, client]] as const) {
      sockets.add(socket)
      socket.on("error", () => other.destroySoon())
      socket.on("close", () => sockets.delete(socket))
    }
    client.on("close", () => open--)
    const unanswered = new Map<number, { readonly apiKey: number; readonly apiVersion: number }>()
    void pump(client, broker, (bytes) => {
      const api = { apiKey: bytes.readInt16BE(4), apiVersion: bytes.readInt16BE(6) }
      unanswered.set(bytes.readInt32BE(8), api)
      return proxy.rule({ direction: "request", connection, ...api, bytes })
    })
    void pump(broker, client, (bytes) => {
      const correlationId = bytes.readInt32BE(4)
      const api = unanswered.get(correlationId) ?? { apiKey: -1, apiVersion: -1 }
      unanswered.delete(correlationId)
      return proxy.rule({ direction: "response", connection, ...api, bytes })
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject)
    server.listen(0, "127.0.0.1", resolve)
  })

  const cut = (): void => {
    for (const socket of sockets) reset(socket)
  }
  const proxy: Proxy = {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    target: undefined,
    rule: passAll,
    connections: () => opened,
    open: () => open,
    cut,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      })
  }
  return proxy
}

// --- rules --------------------------------------------------------------------------------------------------------

/** A fate for every `n`th of the frames that fit, beginning with the `n`th. */
export const everyNth = (n: number, fits: (frame: Frame) => boolean, fate: Fate | ((frame: Frame) => Fate)): Rule => {
  let count = 0
  return (frame) => {
    if (!fits(frame) || ++count % n !== 0) return "pass"
    return typeof fate === "function" ? fate(frame) : fate
  }
}

/** Every frame takes so long, in milliseconds: the delays of frames that follow each other overlap. */
export const latency = (millis: () => number): Rule => () => sleep(millis(), "pass" as const)

/** So many bytes a second in each direction, of all connections together. */
export const throttle = (bytesPerSecond: number): Rule => {
  const freeAt = { request: 0, response: 0 }
  return ({ bytes, direction }) => {
    const now = performance.now()
    freeAt[direction] = Math.max(now, freeAt[direction]) + bytes.length / bytesPerSecond * 1_000
    return sleep(freeAt[direction] - now, "pass" as const)
  }
}

/** Frames stop where they are until `release`: the connections stay open, new ones can be made, and nothing answers. */
export const hold = (
  fits: (frame: Frame) => boolean = () => true
): { readonly rule: Rule; readonly held: () => number; readonly release: () => void } => {
  let held = 0
  let release = (): void => {}
  const released = new Promise<"pass">((resolve) => {
    release = () => resolve("pass")
  })
  return {
    rule: (frame) => {
      if (!fits(frame)) return "pass"
      held++
      return released
    },
    held: () => held,
    release
  }
}
