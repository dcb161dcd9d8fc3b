import { apis } from "@sluice/kafka/internal/protocol/apis"

import type { Fault, LinkMatch, RequestMatch } from "../../Fault.ts"
import { errorCode } from "../cluster/errorCode.ts"
import type { Network } from "./network.ts"

const apiNames: ReadonlySet<string> = new Set(Array.from(apis.values(), (api) => api.name))

/** Whether the protocol has an API of this name. */
export const isApiName = (name: string): boolean => apiNames.has(name)

const fail = (fault: Fault, what: string): never => {
  throw new RangeError(`${fault._tag}: ${what}`)
}

const checkTime = (fault: Fault, name: string, value: number): void => {
  if (!(value >= 0)) fail(fault, `a ${name} of ${value} ms; it must be 0 or more`)
}

const checkDuration = (fault: Fault, duration: number | undefined): void => {
  if (duration !== undefined && !(duration > 0)) fail(fault, `a duration of ${duration} ms; it must be more than 0`)
}

const checkCount = (fault: Fault, name: string, value: number | undefined): void => {
  if (value === undefined) return
  if (value !== Infinity && !Number.isSafeInteger(value) || value < 1) {
    fail(fault, `${name} is ${value}; it must be a whole number from 1 on`)
  }
}

const checkRequest = (fault: Fault, { api, nth, times }: RequestMatch): void => {
  if (api !== undefined && !isApiName(api)) {
    fail(fault, `there is no API "${api}"; there are ${Array.from(apiNames).sort().join(", ")}`)
  }
  checkCount(fault, "nth", nth === Infinity ? NaN : nth)
  checkCount(fault, "times", times)
}

const checkName = (fault: Fault, what: string, name: string): void => {
  if (name === "") fail(fault, `the name of the ${what} is empty`)
}

/** Throws a `RangeError` for a fault that cannot be, in whatever network. */
export const checkShape = (fault: Fault): void => {
  switch (fault._tag) {
    case "Reset":
      if (fault.during !== "request" && fault.during !== "response") {
        fail(fault, `during is ${String(fault.during)}; it must be "request" or "response"`)
      }
      return checkRequest(fault, fault.on)
    case "LoseRequest":
    case "LoseResponse":
      return checkRequest(fault, fault.on)
    case "Partition":
      return checkDuration(fault, fault.duration)
    case "Slow":
      checkTime(fault, "latency", fault.latency)
      checkTime(fault, "jitter", fault.jitter)
      if (fault.latency === Infinity || fault.jitter === Infinity) fail(fault, "it never arrives; take a Partition")
      if (fault.bytesPerSecond !== undefined && !(fault.bytesPerSecond > 0)) {
        fail(fault, `${fault.bytesPerSecond} bytes a second; it must be more than 0`)
      }
      return checkDuration(fault, fault.duration)
    case "Throttle":
      checkTime(fault, "delay", fault.delay)
      if (fault.delay > 0x7fff_ffff) fail(fault, `a delay of ${fault.delay} ms; the protocol has room for 2^31 - 1`)
      return checkRequest(fault, fault.on)
    case "Refuse":
      if (!Object.hasOwn(errorCode, fault.error) || fault.error === "None") {
        fail(fault, `there is no error "${fault.error}"; take a name of Kafka's table, as in "NotLeaderOrFollower"`)
      }
      return checkRequest(fault, fault.on)
    case "Crash":
    case "Pause":
      return checkDuration(fault, fault.duration)
    case "MoveLeader":
      return checkName(fault, "topic", fault.topic)
    case "MoveCoordinator":
      return checkName(fault, "group", fault.group)
    case "JumpClock":
      if (!Number.isFinite(fault.by)) fail(fault, `the clock cannot jump by ${fault.by} ms`)
      return
    case "After":
      if (typeof fault.when === "number") checkTime(fault, "time", fault.when)
      else checkRequest(fault, fault.when)
      return checkShape(fault.fault)
    case "All":
      for (const one of fault.faults) checkShape(one)
      return
    case "HalfOpen":
    case "Start":
    case "Resume":
      return
    default:
      throw new RangeError(`There is no fault ${JSON.stringify(fault)}`)
  }
}

const checkBroker = (fault: Fault, { cluster }: Network, id: number | undefined): void => {
  if (id === undefined || cluster.brokers.some((broker) => broker.id === id)) return
  const ids = cluster.brokers.map((broker) => broker.id)
  fail(fault, `There is no broker ${id}; there are ${ids.join(", ")}`)
}

const checkLinks = (fault: Fault, network: Network, { brokers = [] }: LinkMatch): void => {
  for (const id of brokers) checkBroker(fault, network, id)
}

const checkLeader = (
  fault: Extract<Fault, { readonly _tag: "MoveLeader" }>,
  network: Network,
  isNow: boolean
): void => {
  const { broker, partition: index, topic } = fault
  const { partitions } = network.cluster.requireTopic(topic)
  const partition = partitions[index]
  if (partition === undefined) {
    return fail(fault, `topic ${topic} has no partition ${index}; it has ${partitions.length}, from 0 on`)
  }
  checkBroker(fault, network, broker)
  if (broker === undefined) return
  const able = isNow ? partition.inSyncReplicas.filter((id) => network.isRunning(id)) : partition.replicas
  if (able.includes(broker)) return
  fail(fault, `Broker ${broker} is not an in-sync replica of ${topic}-${index}: ${able.join(", ")}`)
}

const checkPlace = (fault: Fault, network: Network, isNow: boolean): void => {
  switch (fault._tag) {
    case "LoseRequest":
    case "LoseResponse":
    case "Reset":
    case "Throttle":
    case "Refuse":
      return checkBroker(fault, network, fault.on.broker)
    case "HalfOpen":
    case "Partition":
    case "Slow":
      return checkLinks(fault, network, fault.links)
    case "Crash":
    case "Start":
    case "Pause":
    case "Resume":
    case "MoveCoordinator":
      return checkBroker(fault, network, fault.broker)
    case "MoveLeader":
      return checkLeader(fault, network, isNow)
    case "JumpClock":
      if (network.jumpClock === undefined) {
        fail(fault, "the clock that the cluster lives by cannot jump; run the program by Simulation.run")
      }
      return
    case "After":
      if (typeof fault.when !== "number") checkBroker(fault, network, fault.when.broker)
      return checkPlace(fault.fault, network, false)
    case "All":
      for (const one of fault.faults) checkPlace(one, network, isNow)
  }
}

/** Throws a `RangeError` for a fault that cannot be in this network as it is: it says what, where, and what to do. */
export const checkFault = (fault: Fault, network: Network): void => {
  checkShape(fault)
  checkPlace(fault, network, true)
}
