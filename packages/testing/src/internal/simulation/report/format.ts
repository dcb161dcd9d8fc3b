/** A time with the point before its milliseconds: `"12.345"` seconds. Fractions of a millisecond are cut off. */
export const inSeconds = (milliseconds: number): string => {
  const whole = Math.floor(milliseconds)
  return `${Math.floor(whole / 1000)}.${String(whole % 1000).padStart(3, "0")}`
}

/** A whole number with commas between its thousands. */
export const grouped = (count: number): string => String(count).replace(/\B(?=(\d{3})+$)/g, ",")

/** `"1 fault"`, `"2,000 faults"`. */
export const counted = (count: number, noun: string): string => `${grouped(count)} ${noun}${count === 1 ? "" : "s"}`

/** A time that may be long, to two units: `"8 h 12 min"`. */
export const lasting = (milliseconds: number): string => {
  const seconds = milliseconds / 1000
  if (seconds < 60) return `${seconds.toFixed(1)} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`
  return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds % 3600 / 60)} min`
}

/** Control characters, which could rule a terminal, as escapes; line breaks stay. */
export const printable = (text: string): string =>
  text.replace(/\r\n/g, "\n").replace(
    /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g,
    (char) => {
      const code = char.charCodeAt(0)
      return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16)}`
    }
  )
