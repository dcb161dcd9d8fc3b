/** Ports for brokers. */
import { createServer } from "node:net"

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer()
    server.once("error", () => resolve(false))
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => server.close(() => resolve(true)))
  })

/**
 * Ports of 127.0.0.1 that nothing listens on. They lie below the range that systems give to outgoing connections:
 * there, a client that reconnects to a broker that is down could be given that broker's own port, connect to itself,
 * and keep the broker from coming back.
 */
export const freePorts = async (count: number): Promise<ReadonlyArray<number>> => {
  const found = new Set<number>()
  for (let attempt = 0; found.size < count; attempt++) {
    if (attempt > 1_000) throw new Error("No free port was found between 12000 and 32000")
    const port = 12_000 + Math.floor(Math.random() * 20_000)
    if (!found.has(port) && await isFree(port)) found.add(port)
  }
  return [...found]
}
