import { inTime } from "./format.ts"

/** Says what is measured, how far the run is, and how long it will take. */
export class Progress {
  readonly #total: number
  readonly #isTerminal = process.stderr.isTTY === true
  readonly #start = performance.now()
  /** Expected milliseconds of each measurement: at first a guess. */
  readonly #guess: number
  #done = 0

  constructor(total: number, guess: number) {
    this.#total = total
    this.#guess = guess
  }

  /** A measurement begins. Only a terminal, where the line is written over, is told. */
  begin(what: string): void {
    if (!this.#isTerminal) return
    const line = `${this.#done + 1}/${this.#total}  ${what} …  ${this.#left} left`
    process.stderr.write(`\r\u001b[2K${line.slice(0, (process.stderr.columns ?? 80) - 1)}`)
  }

  /** It has ended; with a line of its own. */
  end(what: string, result: string): void {
    this.#done++
    if (this.#isTerminal) process.stderr.write("\r\u001b[2K")
    const left = this.#done === this.#total ? "" : `  (${this.#left} left)`
    process.stderr.write(`${this.#done}/${this.#total}  ${what}  ${result}${left}\n`)
  }

  get #left(): string {
    const each = this.#done < 3 ? this.#guess : (performance.now() - this.#start) / this.#done
    return `about ${inTime(each * (this.#total - this.#done))}`
  }
}
