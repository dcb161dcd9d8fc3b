/**
 * Checks what the documentation says: its snippets compile, the README's program runs, links lead somewhere, every public
 * export is described, the tests and mutants that `docs/guarantees.md`, `docs/scenarios.md` and `docs/faults.md` name exist,
 * and the file map of `docs/internals.md` is whole.
 *
 * The last line of the output is `{"passed":…,"failed":…}`.
 */
import { spawnSync } from "node:child_process"
import { existsSync, globSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { basename, dirname, join, relative } from "node:path"

import ts from "typescript"

const root = join(import.meta.dirname, "..")

let passed = 0
let failed = 0

/** Counts one check, and tells what is wrong, where, and what to do about it. */
const check = (where: string, problems: ReadonlyArray<string>, advice: string): void => {
  if (problems.length === 0) {
    passed++
    return
  }
  failed++
  console.log(`× ${where}`)
  for (const problem of problems) console.log(`    ${problem}`)
  console.log(`    → ${advice}`)
}

const read = (file: string): string => readFileSync(join(root, file), "utf8")

const files = (...patterns: ReadonlyArray<string>): ReadonlyArray<string> =>
  globSync([...patterns], {
    cwd: root,
    exclude: (file) => /(^|\/)(node_modules|dist|build|\.cache)(\/|$)/.test(file.toString())
  }).sort()

const markdownFiles = files("*.md", ".changeset/*.md", "docs/**/*.md", "packages/*/README.md", "examples/**/*.md")
const publicModules = files("packages/{kafka,kafkajs,testing}/src/*.ts")

// ---------------------------------------------------------------------------------------------------------------------
// snippets

/** A program in the documentation. */
interface Snippet {
  readonly file: string
  /** Of its first line of code, from 1. */
  readonly line: number
  readonly code: string
}

/** Blocks of ` ```ts `; `prefix` stands before each of their lines. */
const snippetsIn = (file: string, text: string, prefix = ""): ReadonlyArray<Snippet> => {
  const snippets: Array<Snippet> = []
  const lines = text.split("\n")
  for (let index = 0; index < lines.length; index++) {
    if (!lines[index]!.startsWith(`${prefix}\`\`\`ts`)) continue
    const start = index + 1
    while (index + 1 < lines.length && !lines[index + 1]!.startsWith(`${prefix}\`\`\``)) index++
    const code = lines.slice(start, index + 1).map((line) => line.slice(prefix.length)).join("\n")
    snippets.push({ file, line: start + 1, code: `${code}\n` })
  }
  return snippets
}

const snippets = [
  ...markdownFiles.flatMap((file) => snippetsIn(file, read(file))),
  ...publicModules.flatMap((file) => snippetsIn(file, read(file), " * "))
]

// Inside of `examples`, whose dependencies a reader's program has.
const snippetDirectory = join(root, "examples", ".cache", "snippets")
rmSync(snippetDirectory, { recursive: true, force: true })
mkdirSync(snippetDirectory, { recursive: true })
const snippetByPath = new Map(snippets.map((snippet) => {
  const path = join(snippetDirectory, `${snippet.file.replaceAll(/[/.]/g, "_")}_${snippet.line}.ts`)
  writeFileSync(path, snippet.code)
  return [path, snippet]
}))

const compilerOptions: ts.CompilerOptions = {
  ...ts.parseJsonConfigFileContent(
    ts.readConfigFile(join(root, "tsconfig.base.json"), ts.sys.readFile).config,
    ts.sys,
    root
  ).options,
  composite: false,
  incremental: false,
  noEmit: true,
  // A snippet shows a thing, and need not use it.
  noUnusedLocals: false,
  types: ["node"],
  typeRoots: [join(root, "node_modules", "@types")]
}

const program = ts.createProgram(
  [...snippetByPath.keys(), ...publicModules.map((file) => join(root, file))],
  compilerOptions
)

for (const [path, { file, line }] of snippetByPath) {
  const source = program.getSourceFile(path)!
  const diagnostics = [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)]
  check(
    `${file}:${line}: the snippet does not compile`,
    diagnostics.map(({ messageText, start = 0 }) =>
      `line ${line + source.getLineAndCharacterOfPosition(start).line}: ${
        ts.flattenDiagnosticMessageText(messageText, "\n    ")
      }`
    ),
    "every block of ```ts must be a module that compiles by itself, with its imports"
  )
}

const first = snippets.find(({ file }) => file === "README.md")
if (first === undefined) {
  check("README.md has no program", ["no block of ```ts"], "the README shows a program that runs as it is printed")
} else {
  const [path] = Array.from(snippetByPath).find(([, snippet]) => snippet === first)!
  const { signal, status, stderr, stdout } = spawnSync(process.execPath, [path], { encoding: "utf8", timeout: 60_000 })
  const problems: Array<string> = []
  if (signal !== null) problems.push(`it was killed by ${signal} after a minute`)
  else if (status !== 0) problems.push(`it ended with ${status}`)
  if (stdout.trim() === "") problems.push("it printed nothing")
  const output = problems.length === 0 ? [] : `${stdout}${stderr}`.trim().split("\n").slice(-20)
  check(
    `README.md:${first.line}: the program does not run`,
    [...problems, ...output],
    "it must run as it is printed, and end by itself"
  )
}

// ---------------------------------------------------------------------------------------------------------------------
// links

/** The anchor that GitHub gives a heading. */
const slug = (heading: string): string =>
  heading.trim().toLowerCase().replaceAll(/[^\p{Letter}\p{Number}\p{Mark} _-]/gu, "").replaceAll(" ", "-")

const withoutCode = (text: string): string => text.replaceAll(/^```.*?^```/gms, "").replaceAll(/`[^`\n]*`/g, "code")

const anchors = (file: string): ReadonlySet<string> => {
  const result = new Set<string>()
  for (const [, heading] of read(file).replaceAll(/^```.*?^```/gms, "").matchAll(/^#{1,6} (.+)$/gm)) {
    const base = slug(heading!)
    let anchor = base
    for (let count = 1; result.has(anchor); count++) anchor = `${base}-${count}`
    result.add(anchor)
  }
  return result
}

for (const file of markdownFiles) {
  const problems: Array<string> = []
  for (const [, target] of withoutCode(read(file)).matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^[a-z]+:/.test(target!)) continue
    const [path, anchor] = target!.split("#") as [string, string | undefined]
    const resolved = path === "" ? file : relative(root, join(root, dirname(file), path))
    if (!existsSync(join(root, resolved))) problems.push(`${target}: there is no ${resolved}`)
    else if (anchor !== undefined && statSync(join(root, resolved)).isFile() && !anchors(resolved).has(anchor)) {
      problems.push(`${target}: ${resolved} has no heading with the anchor "${anchor}"`)
    }
  }
  check(`${file}: links that lead nowhere`, problems, "correct the link, or what it should lead to")
}

const readme = existsSync(join(root, "README.md")) ? read("README.md") : ""
check(
  "README.md does not tell of every example",
  files("examples/*.ts").filter((file) => !readme.includes(`](${file})`)),
  "link it in the list of examples"
)

// ---------------------------------------------------------------------------------------------------------------------
// public exports

const checker = program.getTypeChecker()

/** What a doc comment lacks. */
const missing = (tags: ReadonlyArray<string>, required: ReadonlyArray<string>): ReadonlyArray<string> =>
  required.filter((tag) => !tags.includes(tag)).map((tag) => `no @${tag}`)

for (const file of publicModules.filter((each) => !each.endsWith("/index.ts"))) {
  const source = program.getSourceFile(join(root, file))!
  const problems: Array<string> = []
  const [moduleComment] = ts.getLeadingCommentRanges(source.text, 0) ?? []
  const comment = moduleComment === undefined ? "" : source.text.slice(moduleComment.pos, moduleComment.end)
  if (!comment.startsWith("/**") || !comment.includes("@since")) {
    problems.push("line 1: the module has no doc comment with @since")
  }
  const moduleSymbol = checker.getSymbolAtLocation(source)
  for (const symbol of moduleSymbol === undefined ? [] : checker.getExportsOfModule(moduleSymbol)) {
    const declared = (symbol.flags & ts.SymbolFlags.Alias) === 0 ? symbol : checker.getAliasedSymbol(symbol)
    for (const declaration of declared.declarations ?? []) {
      if (declaration.getSourceFile() !== source) continue
      const node = ts.isVariableDeclaration(declaration) ? declaration.parent.parent : declaration
      const documented = ts.getJSDocCommentsAndTags(node).length > 0
      const tags = ts.getJSDocTags(node).map((tag) => tag.tagName.text)
      const lacks = documented ? missing(tags, ["since", "category"]) : ["no doc comment"]
      const line = source.getLineAndCharacterOfPosition(node.getStart()).line + 1
      if (lacks.length > 0) problems.push(`line ${line}: ${symbol.name}: ${lacks.join(", ")}`)
    }
  }
  check(`${file}: exports that are not described`, problems, "write a sentence, @since and @category above each")
}

// ---------------------------------------------------------------------------------------------------------------------
// guarantees

/** Every string of a file, titles of tests among them; what a template puts in is "…". */
const stringsIn = (file: string): ReadonlySet<string> => {
  const strings = new Set<string>()
  const visit = (node: ts.Node): void => {
    // The title of several tests has a place for what they differ in.
    if (ts.isStringLiteralLike(node)) strings.add(node.text).add(node.text.replaceAll("%s", "…"))
    else if (ts.isTemplateExpression(node)) {
      strings.add([node.head.text, ...node.templateSpans.map(({ literal }) => literal.text)].join("…"))
    }
    ts.forEachChild(node, visit)
  }
  visit(ts.createSourceFile(file, read(file), ts.ScriptTarget.Latest))
  return strings
}

/** What is wrong with the name of a test: `suite > title`. */
const testProblems = (file: string, title: string): ReadonlyArray<string> => {
  if (!existsSync(join(root, file))) return [`there is no ${file}`]
  const strings = stringsIn(file)
  return title.split(" > ").filter((part) => !strings.has(part)).map((part) => `${file} has no test or suite “${part}”`)
}

/** The tests that a text names, as `file` “suite > title”, and what is wrong with them. */
const namedTests = (text: string) => {
  const tests = Array.from(
    text.matchAll(/`([^`]+\.ts)` “([^”]+)”/g),
    ([, file, title]) => ({ file: file!, title: title! })
  )
  const problems = tests.flatMap(({ file, title }) => testProblems(file, title))
  return { tests, problems: tests.length === 0 ? ["no test is named"] : problems }
}

const guaranteesFile = "docs/guarantees.md"
if (!existsSync(join(root, guaranteesFile))) {
  check(guaranteesFile, ["is missing"], "it says what is guaranteed, and which test shows it")
} else {
  // A guarantee is a list item that begins with what happens, in bold; it names its tests as `file` “suite > title”, its
  // invariants and its mutants, as which the patches must all be named. What is not promised has none.
  const mutants = new Set(files("packages/testing/mutants/*.patch").map((file) => basename(file, ".patch")))
  const checkers = new Set(
    files("packages/testing/src/internal/simulation/checkers/*.ts").flatMap((file) =>
      Array.from(read(file).matchAll(/^const name = "([^"]+)"$/gm), ([, name]) => name!)
    )
  )
  const numbers = Array.from(read("docs/internals.md").matchAll(/^\| (\d+) \|/gm), ([, number]) => number!)
  const numbered = new Set(numbers)
  check(
    "docs/internals.md: numbers that several invariants have",
    numbers.filter((number, index) => numbers.indexOf(number) !== index),
    "number each of them for itself: guarantees and mutants name them so"
  )
  const [promised] = read(guaranteesFile).split(/^## What is not promised$/m) as [string]
  const guarantees = promised.split(/^- (?=\*\*)/m).slice(1)
  const namedMutants = new Set<string>()
  for (const guarantee of guarantees) {
    const text = guarantee.replaceAll(/\s+/g, " ")
    const { problems } = namedTests(text)
    const [, invariants = "", broken = ""] = /- Invariants: (.+?)\. Mutants?: (`[^`]+`(?:, `[^`]+`)*)\./.exec(text) ??
      []
    if (invariants === "") problems.push("no invariants, or no mutant: end it with “Invariants: …. Mutant: ….”")
    for (const [, checker] of invariants.matchAll(/`([^`]+)`/g)) {
      if (!checkers.has(checker!)) problems.push(`there is no checker \`${checker}\``)
    }
    for (const [number] of invariants.replaceAll(/`[^`]+`/g, "").matchAll(/\d+/g)) {
      if (!numbered.has(number)) problems.push(`docs/internals.md has no invariant ${number}`)
    }
    for (const [, mutant] of broken.matchAll(/`([^`]+)`/g)) {
      namedMutants.add(mutant!)
      if (!mutants.has(mutant!)) problems.push(`packages/testing/mutants has no ${mutant}.patch`)
    }
    check(
      `${guaranteesFile}: “${text.slice(0, 60)}…”`,
      problems,
      "name a test that shows it, `path/of/file.test.ts` “suite > title”, its invariants and its mutants"
    )
  }
  check(
    "packages/testing/mutants: faults that break no guarantee",
    Array.from(mutants).filter((mutant) => !namedMutants.has(mutant)),
    `name them as mutants of what they break, in ${guaranteesFile}`
  )
  for (const mutant of mutants) {
    const file = `packages/testing/mutants/${mutant}.patch`
    const header = read(file).split(/^--- /m)[0]!.replaceAll(/\n# (?!Test: |Breaks: )/g, " ")
    check(
      `${file}: tests that are not there`,
      Array.from(header.matchAll(/^# Test: (\S+) "(.+)"$/gm)).flatMap(([, test, title]) => testProblems(test!, title!)),
      "name the test that fails with it: `# Test: path/of/file.test.ts \"suite > title\"`"
    )
    check(
      `${file}: invariants that are not there`,
      Array.from(header.matchAll(/^# Breaks: (.+)$/gm)).flatMap(([, invariants]) => invariants!.split(/,\s*/)).filter(
        (invariant) => !checkers.has(invariant) && !numbered.has(invariant)
      ),
      "name what it breaks: checkers of the simulation, or numbers of docs/internals.md"
    )
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// scenarios

const scenariosFile = "docs/scenarios.md"
if (!existsSync(join(root, scenariosFile))) {
  check(scenariosFile, ["is missing"], "it says which test shows each scenario")
} else {
  /** Each `name file title` of the table. */
  const inTable = new Set<string>()
  const rows = Array.from(read(scenariosFile).matchAll(/^\| ((?:SA|FM|CL)-\S+) \|(.*)\|$/gm))
  for (const [, name, row] of rows) {
    const { problems, tests } = namedTests(row!)
    for (const { file, title } of tests) inTable.add(`${name} ${file} ${title.split(" > ").at(-1)}`)
    if (rows.filter(([, other]) => other === name).length > 1) problems.push("it has several rows")
    check(`${scenariosFile}: ${name}`, problems, "name a test that shows it, `path/of/file.test.ts` “suite > title”")
  }
  const scenarioTests = files("packages/*/test/scenarios/*.test.ts", "test/faults/*.test.ts").flatMap((file) =>
    Array.from(stringsIn(file)).flatMap((title) => {
      const [names] = /^(?:SA|FM|CL)-[A-Z]?\d+(?:, (?:SA|FM|CL)-[A-Z]?\d+)*(?=: )/.exec(title) ?? []
      return names === undefined ? [] : names.split(", ").map((name) => `${name} ${file} ${title}`)
    })
  )
  check(
    `${scenariosFile}: the table does not tell of every test that has the name of a scenario`,
    scenarioTests.filter((test) => !inTable.has(test)),
    "add the test to the row of its name"
  )
}

// ---------------------------------------------------------------------------------------------------------------------
// faults

const faultsFile = "docs/faults.md"
for (const [, row, rest] of read(faultsFile).matchAll(/^\| (FM-\d+) \|(.*)$/gm)) {
  const { problems, tests } = namedTests(rest!)
  check(
    `${faultsFile}: ${row}`,
    tests.length === 0 && rest!.includes("simulation") ? [] : problems,
    "name its tests, `path/of/file.test.ts` “suite > title”"
  )
}
const listed = read(faultsFile)
check(
  `${faultsFile} does not tell of every test`,
  files("test/faults/*.test.ts").flatMap((file) =>
    Array.from(stringsIn(file)).filter((title) => /^FM-\d/.test(title) && !listed.includes(`“${title}”`))
  ),
  "add it to the row of its fault"
)

// ---------------------------------------------------------------------------------------------------------------------
// file map

const internalsFile = "docs/internals.md"
if (!existsSync(join(root, internalsFile))) {
  check(internalsFile, ["is missing"], "it describes how the library works inside")
} else {
  const sources = files("packages/{kafka,kafkajs,testing}/src/**/*.ts")
  const mapped = new Set(
    Array.from(read(internalsFile).matchAll(/^\| `(packages\/[^`]+\.ts)` \| \S/gm), ([, file]) => file!)
  )
  check(
    `${internalsFile}: the file map does not tell of every file`,
    sources.filter((file) => !mapped.has(file)),
    "add a line that says what the file is for"
  )
  check(
    `${internalsFile}: the file map has files that are gone`,
    Array.from(mapped).filter((file) => !sources.includes(file)),
    "take the line out"
  )
}

console.log(`${snippets.length} snippets, ${markdownFiles.length} pages, ${publicModules.length} public modules`)
console.log(JSON.stringify({ passed, failed }))
process.exitCode = failed === 0 ? 0 : 1
