import { defineConfig } from "vitest/config"

/**
 * The tests without a broker, as in the workspace's own configuration. Many mutants make a test wait for ever: it is given
 * up sooner, and what it has left running too.
 */
export default defineConfig({
  test: {
    include: ["packages/*/test/**/*.test.ts"],
    testTimeout: 10_000,
    hookTimeout: 1_000,
    teardownTimeout: 1_000
  }
})
