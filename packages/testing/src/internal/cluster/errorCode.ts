import { errors, type ProtocolErrorTag } from "@sluice/kafka/internal/kernel/errors"

type Name = Exclude<ProtocolErrorTag, "Unknown">

/** The protocol's error codes by name; `None` is 0. */
export const errorCode: Readonly<Record<Name | "None", number>> = {
  ...Object.fromEntries(errors.map((entry) => [entry.tag, entry.code])) as Record<Name, number>,
  None: 0
}
