import { inTime } from "./format.ts"

/** Says what is measured, how far the run is, and how long it will take. */
export class Progress {
  readonly #expected: ReadonlyArray<number>
  readonly #isTerminal = process.stderr.isTTY === true
  readonly #start = performance.now()
  #done = 0

  /** How long each measurement should take, in milliseconds: what they really take corrects it. */
  constructor(expected: ReadonlyArray<number>) {
    this.#expected = expected
  }

  /** A measurement begins. Only a terminal, where the line is written over, is told. */
  begin(what: string): void {
    if (!this.#isTerminal) return
    const line = `${this.#done + 1}/${this.#expected.length}  ${what} …  about ${this.#left} left`
    process.stderr.write(`\r\u001b[2K${line.slice(0, (process.stderr.columns ?? 80) - 1)}`)
  }

  /** It has ended; with a line of its own. */
  end(what: string, result: string): void {
    this.#done++
    if (this.#isTerminal) process.stderr.write("\r\u001b[2K")
    const total = this.#expected.length
    const left = this.#done === total ? "" : `  (about ${this.#left} left)`
    process.stderr.write(`${this.#done}/${total}  ${what}  ${result}${left}\n`)
  }

  get #left(): string {
    const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((total, each) => total + each, 0)
    const passed = sum(this.#expected.slice(0, this.#done))
    const factor = this.#done < 3 ? 1 : (performance.now() - this.#start) / passed
    return inTime(factor * sum(this.#expected.slice(this.#done)))
  }
}
