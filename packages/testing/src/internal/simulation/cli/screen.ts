import { clearInterval, setInterval } from "node:timers"

/** Where something is written. */
export interface Output {
  readonly write: (text: string) => void
  /** One that a person looks at: a line can be written over, and have colours. */
  readonly isTerminal: boolean
}

/** Writes results, and in between how it goes: over one line of a terminal, else a line every few seconds. */
export class Screen {
  /** How it goes now. */
  progress: () => string
  readonly #stdout: Output
  readonly #stderr: Output
  readonly #timer: NodeJS.Timeout
  #hasLine = false

  constructor(stdout: Output, stderr: Output, progress: () => string) {
    this.progress = progress
    this.#stdout = stdout
    this.#stderr = stderr
    this.#timer = setInterval(() => this.#showProgress(), stderr.isTerminal ? 200 : 5000)
  }

  /** What the user asked to see. */
  show(text: string): void {
    this.#clear()
    this.#stdout.write(text)
  }

  /** All else. */
  tell(text: string): void {
    this.#clear()
    this.#stderr.write(text)
  }

  /** There is no progress any more. */
  end(): void {
    clearInterval(this.#timer)
    this.#clear()
  }

  #showProgress(): void {
    this.#clear()
    this.#hasLine = this.#stderr.isTerminal
    this.#stderr.write(this.#hasLine ? this.progress() : `${this.progress()}\n`)
  }

  #clear(): void {
    if (this.#hasLine) this.#stderr.write("\r\u001b[2K")
    this.#hasLine = false
  }
}
