/** Servers that are not Kafka, and a proxy before one that is: for tests that count what a client does. */
import { createServer as createHttpServer } from "node:http"
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net"

import { Effect, type Scope } from "effect"

/** A server of this process. */
export interface LocalServer {
  /** `127.0.0.1:port`. */
  readonly address: string
  /** How often somebody has connected. */
  readonly connections: () => number
}

const serve = (server: Server): Effect.Effect<LocalServer, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<{ readonly local: LocalServer; readonly close: Effect.Effect<void> }>((resume) => {
      const sockets = new Set<Socket>()
      let connections = 0
      server.on("connection", (socket: Socket) => {
        connections++
        sockets.add(socket)
        socket.on("error", () => {})
        socket.on("close", () => sockets.delete(socket))
      })
      server.listen(0, "127.0.0.1", () => {
        const { port } = server.address() as AddressInfo
        resume(Effect.succeed({
          local: { address: `127.0.0.1:${port}`, connections: () => connections },
          close: Effect.async<void>((done) => {
            server.close(() => done(Effect.void))
            for (const socket of sockets) socket.destroy()
          })
        }))
      })
    }),
    ({ close }) => close
  ).pipe(Effect.map(({ local }) => local))

/** Takes connections and whatever comes, and never says anything. */
export const silentServer = Effect.suspend(() => serve(createServer((socket) => socket.resume())))

/** Speaks HTTP. */
export const httpServer = Effect.suspend(() => serve(createHttpServer((_, response) => response.end("hello"))))

/** Answers every connection with the same bytes, at once. */
export const babblingServer = (bytes: Uint8Array) =>
  Effect.suspend(() =>
    serve(createServer((socket) => {
      socket.resume()
      socket.write(bytes)
    }))
  )

/** Closes every connection as soon as it is open. */
export const closingServer = Effect.suspend(() => serve(createServer((socket) => socket.destroy())))

/** Passes everything on to `host:port`. */
export const proxy = (target: string) => {
  const [host, port] = target.split(":") as [string, string]
  return Effect.suspend(() =>
    serve(createServer((socket) => {
      const upstream = connect({ host, port: Number(port) })
      socket.pipe(upstream).pipe(socket)
      upstream.on("error", () => socket.destroy())
      upstream.on("close", () => socket.destroy())
      socket.on("error", () => {})
      socket.on("close", () => upstream.destroy())
    }))
  )
}

/** The address of a port that nothing listens on. */
export const unusedAddress: Effect.Effect<string> = Effect.scoped(
  Effect.map(Effect.suspend(() => serve(createServer())), ({ address }) => address)
)
