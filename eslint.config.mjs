import * as effectEslint from "@effect/eslint-plugin"
import simpleImportSort from "eslint-plugin-simple-import-sort"
import sortDestructureKeys from "eslint-plugin-sort-destructure-keys"
import tseslint from "typescript-eslint"

export default tseslint.config(
  { ignores: ["**/dist", "**/build", "**/node_modules", "**/.cache", "**/coverage"] },
  ...tseslint.configs.recommended,
  ...effectEslint.configs.dprint,
  {
    plugins: { "simple-import-sort": simpleImportSort, "sort-destructure-keys": sortDestructureKeys },
    rules: {
      "@effect/dprint": ["error", {
        config: {
          indentWidth: 2,
          lineWidth: 120,
          operatorPosition: "maintain",
          semiColons: "asi",
          quoteStyle: "alwaysDouble",
          "importDeclaration.sortNamedImports": "maintain",
          "exportDeclaration.sortNamedExports": "maintain",
          trailingCommas: "never",
          "arrowFunction.useParentheses": "force"
        }
      }],
      "@typescript-eslint/array-type": ["error", { default: "generic", readonly: "generic" }],
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/no-empty-object-type": "off",
      "@typescript-eslint/no-explicit-any": "off",
      "@typescript-eslint/no-namespace": "off",
      "@typescript-eslint/no-non-null-assertion": "off",
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      "no-restricted-syntax": ["error", {
        selector: "CallExpression[callee.property.name='push'] > SpreadElement.arguments",
        message: "A spread argument overflows the stack on a large batch: push in a loop."
      }],
      "object-shorthand": "error",
      "simple-import-sort/imports": "error",
      "simple-import-sort/exports": "error",
      "sort-destructure-keys/sort-destructure-keys": "error"
    }
  },
  {
    files: ["packages/*/src/**/*.ts"],
    ignores: ["packages/bench/**"],
    rules: {
      "no-console": "error",
      "no-restricted-globals": [
        "error",
        { name: "setTimeout", message: "Time comes from Effect's Clock." },
        { name: "setInterval", message: "Time comes from Effect's Clock." },
        { name: "Date", message: "Time comes from Effect's Clock." }
      ],
      "no-restricted-properties": ["error", {
        object: "Math",
        property: "random",
        message: "Chance comes from Effect's Random."
      }],
      "no-restricted-imports": ["error", { paths: [{ name: "effect", message: "Import the module: effect/Effect." }] }]
    }
  }
)
