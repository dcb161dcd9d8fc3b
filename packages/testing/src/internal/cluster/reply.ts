/** What a broker does about a request, in the end. */
export type Answer<Body> =
  | { readonly _tag: "Response"; readonly body: Body }
  /** It was served, and the client expects nothing: Produce with acks 0. */
  | { readonly _tag: "NoResponse" }
  /** The broker closes the connection. */
  | { readonly _tag: "Disconnect" }

/**
 * The answer to one request: given already, or parked until something happens in the cluster or time passes, as it is
 * for a long-polling Fetch, a JoinGroup and a SyncGroup.
 */
export class Reply<Body> {
  private given: Answer<Body> | undefined
  private listener: ((answer: Answer<Body>) => void) | undefined
  private abandoned: (() => void) | undefined

  /** A reply that is given at once. */
  static settled<Body>(answer: Answer<Body>): Reply<Body> {
    const reply = new Reply<Body>()
    reply.given = answer
    return reply
  }

  /** A reply with a response, at once. */
  static respond<Body>(body: Body): Reply<Body> {
    return Reply.settled({ _tag: "Response", body })
  }

  /** The answer, unless the reply is parked. */
  get answer(): Answer<Body> | undefined {
    return this.given
  }

  /** Answers with a response. Only the first answer counts. */
  respond(body: Body): void {
    this.settle({ _tag: "Response", body })
  }

  /** Answers. Only the first answer counts. */
  settle(answer: Answer<Body>): void {
    if (this.given !== undefined) return
    this.given = answer
    this.abandoned = undefined
    const listener = this.listener
    this.listener = undefined
    listener?.(answer)
  }

  /** Calls `listener` with the answer, now or when it is given. There is one listener. */
  whenAnswered(listener: (answer: Answer<Body>) => void): void {
    if (this.given === undefined) this.listener = listener
    else listener(this.given)
  }

  /** The same reply with another response. */
  map(change: (body: Body) => Body): Reply<Body> {
    const changed = new Reply<Body>()
    this.whenAnswered((answer) =>
      changed.settle(answer._tag === "Response" ? { _tag: "Response", body: change(answer.body) } : answer)
    )
    changed.onAbandon(() => this.abandon())
    return changed
  }

  /** What is to be cleaned up if the client goes before the answer is given. */
  onAbandon(cleanUp: () => void): void {
    this.abandoned = cleanUp
  }

  /** The client has gone: nobody waits for the answer any more. */
  abandon(): void {
    this.listener = undefined
    const abandoned = this.abandoned
    this.abandoned = undefined
    abandoned?.()
  }
}
