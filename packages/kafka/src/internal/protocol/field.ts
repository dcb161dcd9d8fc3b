/** The wire types of the protocol. `records` are bytes that the codec passes by reference. */
export type Kind =
  | "bool"
  | "int8"
  | "int16"
  | "int32"
  | "int64"
  | "uuid"
  | "string"
  | "bytes"
  | "records"
  | "array"
  | "struct"

/** A range of versions, both ends included. */
export type VersionRange = readonly [first: number, last: number]

/** What Kafka's message definitions say of one field. */
export interface Spec {
  readonly kind: Kind
  /** The versions that have the field. */
  readonly versions: VersionRange
  /** The versions in which it may be null. */
  readonly nullable: VersionRange | undefined
  /** Its number among the tagged fields, if it is one. */
  readonly tag: number | undefined
  /** The declared default; `undefined` where none is declared, `null` is a default. */
  readonly default: unknown
  readonly ignorable: boolean
  /** Of an array: what it holds. */
  readonly element: Spec | undefined
  /** Of a struct: its fields. */
  readonly fields: Fields | undefined
}

declare const OutType: unique symbol
declare const InType: unique symbol
declare const RequiredType: unique symbol

/**
 * One field of a message. `Out` is what decoding gives, `In` what encoding takes, `Required` whether encoding always
 * needs it.
 */
export class Field<Out, In = Out, Required extends boolean = true> {
  declare readonly [OutType]: Out
  declare readonly [InType]: In
  declare readonly [RequiredType]: Required
  readonly spec: Spec

  constructor(spec: Spec) {
    this.spec = spec
  }

  /** The first version that has the field: before it, decoding gives the default. */
  since(version: number): Field<Out, In, false> {
    return new Field({ ...this.spec, versions: [version, this.spec.versions[1]] })
  }

  /** The last version that has the field: after it, decoding gives the default. */
  until(version: number): Field<Out, In, false> {
    return new Field({ ...this.spec, versions: [this.spec.versions[0], version] })
  }

  /** May be null in these versions. */
  nullable(first = 0, last = Infinity): Field<Out | null, In | null, Required> {
    return new Field({ ...this.spec, nullable: [first, last] })
  }

  /** Taken where encoding is given nothing, and given by decoding where the version lacks the field. */
  default<const Default extends In>(value: Default): Field<Out, In, false> {
    return new Field({ ...this.spec, default: value })
  }

  /** A tagged field (KIP-482): left out of the message while it has its default. */
  tagged(tag: number): Field<Out, In, false> {
    return new Field({ ...this.spec, tag })
  }

  /** A value that the version cannot carry is dropped; without this, encoding it fails. */
  get ignorable(): Field<Out, In, Required> {
    return new Field({ ...this.spec, ignorable: true })
  }
}

/** The fields of a message or struct, in the order of the wire. */
export interface Fields {
  readonly [name: string]: Field<any, any, boolean>
}

type Simplify<T> = { [K in keyof T]: T[K] } & {}

type RequiredKeys<F extends Fields> = { [K in keyof F]: F[K][typeof RequiredType] extends true ? K : never }[keyof F]

/** What decoding gives: every field, whatever the version. */
export type Decoded<F extends Fields> = Simplify<{ readonly [K in keyof F]: F[K][typeof OutType] }>

/** What encoding takes: fields that have a default, or that only some versions have, may be left out. */
export type Encodable<F extends Fields> = Simplify<
  & { readonly [K in RequiredKeys<F>]: F[K][typeof InType] }
  & { readonly [K in Exclude<keyof F, RequiredKeys<F>>]?: F[K][typeof InType] }
>

const plain = (kind: Kind): Spec => ({
  kind,
  versions: [0, Infinity],
  nullable: undefined,
  tag: undefined,
  default: undefined,
  ignorable: false,
  element: undefined,
  fields: undefined
})

/** A byte: 0 or 1. */
export const bool = new Field<boolean>(plain("bool"))

/** A signed byte. */
export const int8 = new Field<number>(plain("int8"))

/** A signed integer of two bytes. */
export const int16 = new Field<number>(plain("int16"))

/** A signed integer of four bytes. */
export const int32 = new Field<number>(plain("int32"))

/** What stands for 2^63-1, with which some definitions say "no bound": the one int64 beyond 2^53 that is carried. */
export const maxInt64 = 2 ** 63

/** A signed integer of eight bytes, as a safe integer or {@link maxInt64}. Any other beyond 2^53 is refused. */
export const int64 = new Field<number>(plain("int64"))

/** The uuid of nothing: sixteen zero bytes. */
export const zeroUuid = "AAAAAAAAAAAAAAAAAAAAAA"

/** Sixteen bytes, written as Kafka prints them: 22 characters of base64url. */
export const uuid = new Field<string>(plain("uuid"))

/** UTF-8, at most 32,767 bytes. */
export const string = new Field<string>(plain("string"))

/** Bytes. Decoding gives a view of its input; encoding copies. */
export const bytes = new Field<Uint8Array>(plain("bytes"))

/** Record batches. Decoding gives a view of its input; encoding passes the array on by reference. */
export const records = new Field<Uint8Array>(plain("records"))

/** Fields in a row. */
export const struct = <F extends Fields>(fields: F): Field<Decoded<F>, Encodable<F>> =>
  new Field({ ...plain("struct"), fields })

/** Any number of one kind of element. */
export const array = <Out, In, Required extends boolean>(
  element: Field<Out, In, Required>
): Field<ReadonlyArray<Out>, ReadonlyArray<In>> => new Field({ ...plain("array"), element: element.spec })

/** Any number of structs. */
export const arrayOf = <F extends Fields>(
  fields: F
): Field<ReadonlyArray<Decoded<F>>, ReadonlyArray<Encodable<F>>> => array(struct(fields))

/** A message that is no request or response, such as those inside the bytes of the consumer group protocol. */
export interface Message<F extends Fields> {
  readonly name: string
  readonly versions: VersionRange
  /** The first version with compact lengths and tagged fields (KIP-482); `Infinity` if none has. */
  readonly flexible: number
  readonly fields: F
}

/** Any {@link Message}. */
export type AnyMessage = Message<any>

/** One API of the protocol: both directions, in all versions that are declared. */
export interface Api<Name extends string, Request extends Fields, Response extends Fields> {
  readonly key: number
  readonly name: Name
  readonly versions: VersionRange
  /** The first version with compact lengths and tagged fields (KIP-482); `Infinity` if none has. */
  readonly flexible: number
  readonly request: Request
  readonly response: Response
}

/** Any {@link Api}. */
export type AnyApi = Api<string, any, any>

/** A request of an API as decoding gives it. */
export type RequestOf<A> = A extends Api<string, infer Request, any> ? Decoded<Request> : never

/** A request of an API as encoding takes it. */
export type RequestInput<A> = A extends Api<string, infer Request, any> ? Encodable<Request> : never

/** A response of an API as decoding gives it. */
export type ResponseOf<A> = A extends Api<string, any, infer Response> ? Decoded<Response> : never

/** A response of an API as encoding takes it. */
export type ResponseInput<A> = A extends Api<string, any, infer Response> ? Encodable<Response> : never

/** A message as decoding gives it. */
export type MessageOf<M> = M extends Message<infer F> ? Decoded<F> : never

/** A message as encoding takes it. */
export type MessageInput<M> = M extends Message<infer F> ? Encodable<F> : never

/** Declares an API. */
export const api = <const Name extends string, Request extends Fields, Response extends Fields>(
  declaration: Api<Name, Request, Response>
): Api<Name, Request, Response> => declaration

/** Declares a message that is no API. */
export const message = <F extends Fields>(declaration: Message<F>): Message<F> => declaration
