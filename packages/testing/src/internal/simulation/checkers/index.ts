import { acknowledgedIsLogged } from "./acknowledgedIsLogged.ts"
import { bufferBound } from "./bufferBound.ts"
import type { Check } from "./check.ts"
import { closeIsOrderly } from "./closeIsOrderly.ts"
import { closesInTime } from "./closesInTime.ts"
import { commitNotBackwards } from "./commitNotBackwards.ts"
import { commitNotPastProcessed } from "./commitNotPastProcessed.ts"
import { commitOnlyOwned } from "./commitOnlyOwned.ts"
import { duplicatesOnlyAfterLoss } from "./duplicatesOnlyAfterLoss.ts"
import { failedNoIsAbsent } from "./failedNoIsAbsent.ts"
import { failsForAReason } from "./failsForAReason.ts"
import { fetchBound } from "./fetchBound.ts"
import { flushMeansDone } from "./flushMeansDone.ts"
import { handledInTurn } from "./handledInTurn.ts"
import { handledOnce } from "./handledOnce.ts"
import { handlersGetTheirTime } from "./handlersGetTheirTime.ts"
import { inOrder } from "./inOrder.ts"
import { noDuplicates } from "./noDuplicates.ts"
import { notExpelledWhenHealthy } from "./notExpelledWhenHealthy.ts"
import { nothingInvented } from "./nothingInvented.ts"
import { nothingLeft } from "./nothingLeft.ts"
import { nothingSkipped } from "./nothingSkipped.ts"
import { oneOutcome } from "./oneOutcome.ts"
import { oneOwner } from "./oneOwner.ts"
import { order } from "./order.ts"
import { pausedIsPaused } from "./pausedIsPaused.ts"
import { processedIsLogged } from "./processedIsLogged.ts"
import { progress } from "./progress.ts"
import { rightPartition } from "./rightPartition.ts"
import { toldInTurn } from "./toldInTurn.ts"

/** Everything that is checked of a history, each invariant by itself. */
export const checkers: ReadonlyArray<Check> = [
  acknowledgedIsLogged,
  failedNoIsAbsent,
  noDuplicates,
  order,
  oneOutcome,
  toldInTurn,
  flushMeansDone,
  failsForAReason,
  rightPartition,
  nothingInvented,
  processedIsLogged,
  nothingSkipped,
  inOrder,
  commitNotPastProcessed,
  commitNotBackwards,
  commitOnlyOwned,
  duplicatesOnlyAfterLoss,
  oneOwner,
  handledInTurn,
  handledOnce,
  pausedIsPaused,
  handlersGetTheirTime,
  notExpelledWhenHealthy,
  bufferBound,
  fetchBound,
  progress,
  nothingLeft,
  closeIsOrderly,
  closesInTime
]
