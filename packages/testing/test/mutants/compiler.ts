import { join } from "node:path"

import ts from "typescript"

import { type Mutant, root } from "./mutant.ts"
import { patchedFiles } from "./sources.ts"

/**
 * Makes what says why a mutant does not compile, if it does not: it is run without types, and something that is not there
 * any more would fail whatever is to catch it. Each program takes over what it can of the last one.
 */
export const makeCompiler = (): (mutant: Mutant) => string | undefined => {
  const { config } = ts.readConfigFile(join(root, "tsconfig.base.json"), (file) => ts.sys.readFile(file))
  const options: ts.CompilerOptions = {
    ...ts.parseJsonConfigFileContent(config, ts.sys, root).options,
    composite: false,
    incremental: false,
    noEmit: true,
    // What it leaves out may have been the only use.
    noUnusedLocals: false,
    noUnusedParameters: false,
    types: ["node"],
    typeRoots: [join(root, "node_modules", "@types")]
  }
  const host = ts.createCompilerHost(options, true)
  const sources = new Map<string, ts.SourceFile | undefined>()
  let last: ts.Program | undefined
  return (mutant) => {
    const changed = patchedFiles(mutant)
    if (typeof changed === "string") return changed
    const getSourceFile: ts.CompilerHost["getSourceFile"] = (file, target) => {
      const text = changed.get(file)
      if (text !== undefined) return ts.createSourceFile(file, text, target, true)
      if (!sources.has(file)) sources.set(file, host.getSourceFile(file, target))
      return sources.get(file)
    }
    const program = ts.createProgram([...changed.keys()], options, { ...host, getSourceFile }, last)
    last = program
    const [problem] = [...changed.keys()].flatMap((file) => {
      const source = program.getSourceFile(file)
      return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)]
    })
    return problem && `it does not compile: ${ts.flattenDiagnosticMessageText(problem.messageText, " ")}`
  }
}
