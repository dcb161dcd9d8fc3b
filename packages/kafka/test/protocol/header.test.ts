import { assert, describe, it } from "@effect/vitest"
import { ApiVersions, isClientSoftware } from "@sluice/kafka/internal/protocol/api/apiVersions"
import { Metadata } from "@sluice/kafka/internal/protocol/api/metadata"
import { Produce } from "@sluice/kafka/internal/protocol/api/produce"
import { SaslHandshake } from "@sluice/kafka/internal/protocol/api/saslHandshake"
import { apis, chooseVersion } from "@sluice/kafka/internal/protocol/apis"
import { ProtocolError } from "@sluice/kafka/internal/protocol/codec"
import {
  decodeRequestHeader,
  requestHeader,
  requestHeaderVersion,
  responseBody,
  responseHeader,
  responseHeaderVersion
} from "@sluice/kafka/internal/protocol/header"
import { FastCheck } from "effect"

describe("request headers", () => {
  it("come back as they went, with the size of the frame before them", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.constantFrom(...apis.values()),
        FastCheck.nat({ max: 20 }),
        FastCheck.integer(),
        FastCheck.oneof(FastCheck.constant(null), FastCheck.fullUnicodeString()),
        FastCheck.uint8Array(),
        (api, apiVersion, correlationId, clientId, body) => {
          const headerVersion = requestHeaderVersion(api, apiVersion)
          const header = requestHeader(
            { apiKey: api.key, apiVersion, headerVersion, correlationId, clientId },
            body.length
          )
          const frame = Buffer.concat([header, body])
          assert.strictEqual(frame.readInt32BE(0), frame.length - 4)
          const decoded = decodeRequestHeader(new Uint8Array(frame.subarray(4)))
          assert.deepStrictEqual(decoded, { apiKey: api.key, apiVersion, correlationId, clientId, body })
        }
      )
    )
  })

  it("carry the client id with a length of two bytes in flexible versions too", () => {
    const header = requestHeader(
      { apiKey: 18, apiVersion: 3, headerVersion: 2, correlationId: 7, clientId: "me" },
      0
    )
    assert.deepStrictEqual([...header], [0, 0, 0, 13, 0, 18, 0, 3, 0, 0, 0, 7, 0, 2, 109, 101, 0])
  })

  it("skip tagged fields, and are refused when they break off or hold an API that is not known", () => {
    const header = requestHeader({ apiKey: 3, apiVersion: 9, headerVersion: 2, correlationId: 1, clientId: "c" }, 0)
    const frame = header.subarray(4)
    const tagged = Buffer.concat([frame.subarray(0, -1), Uint8Array.of(1, 5, 2, 9, 9, 42)])
    assert.deepStrictEqual([...decodeRequestHeader(tagged).body], [42])
    for (let length = 0; length < frame.length; length++) {
      assert.throws(() => decodeRequestHeader(frame.subarray(0, length)), ProtocolError)
    }
    assert.throws(() => decodeRequestHeader(Uint8Array.of(0, 99, 0, 0, 0, 0, 0, 0, 0xff, 0xff)), /api 99 is not known/)
    assert.throws(() => decodeRequestHeader(Uint8Array.of(0, 3, 0, 9, 0, 0, 0, 0, 0x80, 0)), /a client id of -32768/)
    assert.throws(
      () =>
        requestHeader(
          { apiKey: 3, apiVersion: 9, headerVersion: 2, correlationId: 1, clientId: "x".repeat(32_768) },
          0
        ),
      /a client id of 32768 bytes/
    )
  })

  it("of an ApiVersions request that is too new can be read, to answer it", () => {
    const header = requestHeader({ apiKey: 18, apiVersion: 99, headerVersion: 2, correlationId: 5, clientId: null }, 3)
    const { apiVersion, body, correlationId } = decodeRequestHeader(
      Buffer.concat([header.subarray(4), Buffer.alloc(3)])
    )
    assert.deepStrictEqual({ apiVersion, correlationId, body: body.length }, {
      apiVersion: 99,
      correlationId: 5,
      body: 3
    })
  })
})

describe("response headers", () => {
  it("are as long as their version says, and leave the body", () => {
    for (const api of apis.values()) {
      for (let version = api.versions[0]; version <= api.versions[1]; version++) {
        const header = responseHeader(api, version, -2, 3)
        const frame = Buffer.concat([header, Uint8Array.of(7, 8, 9)])
        assert.strictEqual(frame.readInt32BE(0), frame.length - 4)
        assert.strictEqual(frame.readInt32BE(4), -2)
        assert.deepStrictEqual([...responseBody(api, version, frame.subarray(8))], [7, 8, 9])
      }
    }
  })

  it("have no tagged fields for ApiVersions, in any version", () => {
    assert.strictEqual(responseHeaderVersion(ApiVersions, 3), 0)
    assert.strictEqual(requestHeaderVersion(ApiVersions, 3), 2)
    assert.strictEqual(responseHeaderVersion(Metadata, 9), 1)
    assert.strictEqual(responseHeaderVersion(SaslHandshake, 1), 0)
  })

  it("skip tagged fields, and are refused when they break off", () => {
    assert.deepStrictEqual([...responseBody(Metadata, 9, Uint8Array.of(2, 0, 1, 9, 4, 0, 42))], [42])
    for (const broken of [[], [1], [1, 0], [1, 0, 2, 9], [0xff, 0xff, 0xff, 0xff, 0x0f]]) {
      assert.throws(() => responseBody(Metadata, 9, Uint8Array.from(broken)), ProtocolError)
    }
  })
})

describe("chooseVersion", () => {
  it("takes the highest that both have", () => {
    // A broker of 4.x says that it has Produce from version 0, but refuses 0 to 2: we have none of them.
    assert.strictEqual(chooseVersion(Produce, 0, 13), 12)
    assert.strictEqual(chooseVersion(Produce, 0, 8), 8)
    assert.strictEqual(chooseVersion(Produce, 12, 12), 12)
    assert.isUndefined(chooseVersion(Produce, 0, 7))
    assert.isUndefined(chooseVersion(Produce, 13, 14))
    assert.isUndefined(chooseVersion(Produce, 9, 8))
  })

  it("finds a version of every API in a broker of Kafka 2.4", () => {
    // Api key to highest version, as Apache Kafka 2.4.0 advertises.
    const broker24 = new Map([
      [0, 8],
      [1, 11],
      [2, 5],
      [3, 9],
      [8, 8],
      [9, 6],
      [10, 3],
      [11, 6],
      [12, 4],
      [13, 4],
      [14, 4],
      [15, 5],
      [17, 1],
      [18, 3],
      [19, 5],
      [20, 4],
      [21, 1],
      [22, 2],
      [23, 3],
      [36, 1],
      [37, 1]
    ])
    for (const api of apis.values()) assert.isDefined(chooseVersion(api, 0, broker24.get(api.key)!), api.name)
  })
})

describe("isClientSoftware", () => {
  it("takes what brokers take", () => {
    for (const text of ["sluice", "sluice-kafka", "0.1.0", "a", "1.2.3-rc.1"]) {
      assert.isTrue(isClientSoftware(text), text)
    }
    for (const text of ["", "@sluice/kafka", "-a", "a-", "a b", "a\n", "ü"]) {
      assert.isFalse(isClientSoftware(text), text)
    }
  })
})
