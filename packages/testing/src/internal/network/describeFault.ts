import type { Fault, LinkMatch, RequestMatch } from "../../Fault.ts"

const ordinal = (count: number): string => {
  const suffix = count % 100 >= 11 && count % 100 <= 13 ? "th" : ["th", "st", "nd", "rd"][count % 10] ?? "th"
  return `${count}${suffix}`
}

const requests = ({ api: name, broker, client, nth = 1, times = 1 }: RequestMatch): string => {
  const api = name ?? (times === 1 ? "request" : "requests")
  const which = times === 1
    ? nth === 1 ? `the next ${api}` : `the ${ordinal(nth)} ${api}`
    : nth === 1
    ? `the next ${times} ${api}`
    : `${times} ${api} from the ${ordinal(nth)} on`
  return which + (broker === undefined ? "" : ` to broker ${broker}`) + (client === undefined ? "" : ` of ${client}`)
}

const links = ({ brokers, clients }: LinkMatch): string => {
  const ends = [
    clients === undefined ? [] : [`of ${clients.join(", ")}`],
    brokers === undefined ? [] : [`to ${brokers.length === 1 ? "broker" : "brokers"} ${brokers.join(", ")}`]
  ].flat()
  return ends.length === 0 ? "all connections" : `connections ${ends.join(" ")}`
}

const lasting = (duration: number | undefined): string => duration === undefined ? "" : ` for ${duration} ms`

const chosen = (broker: number | undefined): string => broker === undefined ? "on" : `to broker ${broker}`

/** A fault as one short line. */
export const describeFault = (fault: Fault): string => {
  switch (fault._tag) {
    case "LoseRequest":
      return `lose ${requests(fault.on)}`
    case "LoseResponse":
      return `lose the response to ${requests(fault.on)}`
    case "Reset":
      return `reset in the middle of ${fault.during === "response" ? "the response to " : ""}${requests(fault.on)}`
    case "HalfOpen":
      return `silence ${links(fault.links)}`
    case "Partition":
      return `cut off ${links(fault.links)}${lasting(fault.duration)}`
    case "Slow": {
      const { bytesPerSecond, jitter, latency } = fault
      const rate = bytesPerSecond === undefined ? "" : `, ${bytesPerSecond} bytes/s`
      return `slow ${links(fault.links)}: ${latency} ms and up to ${jitter} ms more${rate},${lasting(fault.duration)}`
    }
    case "Throttle":
      return `throttle ${requests(fault.on)} by ${fault.delay} ms`
    case "Refuse":
      return `refuse ${requests(fault.on)} with ${fault.error}`
    case "Crash":
      return `crash broker ${fault.broker}${lasting(fault.duration)}`
    case "Start":
      return `start broker ${fault.broker}`
    case "Pause":
      return `pause broker ${fault.broker}${lasting(fault.duration)}`
    case "Resume":
      return `resume broker ${fault.broker}`
    case "MoveLeader":
      return `move the leader of ${fault.topic}-${fault.partition} ${chosen(fault.broker)}`
    case "MoveCoordinator":
      return `move the coordinator of ${fault.group} ${chosen(fault.broker)}`
    case "JumpClock":
      return `the clock jumps by ${fault.by} ms`
    case "After": {
      const when = typeof fault.when === "number" ? `after ${fault.when} ms` : `with ${requests(fault.when)}`
      return `${when}: ${describeFault(fault.fault)}`
    }
    case "All":
      return fault.faults.length === 0 ? "nothing" : fault.faults.map(describeFault).join("; ")
  }
}
