import { defineConfig } from "vitest/config"

/** `unit` needs nothing but Node; `kafka` starts a real broker, `faults` three and proxies before them (test/support). */
export default defineConfig({
  test: {
    projects: [
      {
        test: { name: "unit", include: ["packages/*/test/**/*.test.ts"], testTimeout: 20_000 }
      },
      {
        test: {
          name: "kafka",
          include: ["test/*.test.ts"],
          globalSetup: ["test/support/globalSetup.ts"],
          // One file after the other: `fileParallelism` is not an option of a project.
          poolOptions: { forks: { singleFork: true } },
          testTimeout: 120_000,
          hookTimeout: 180_000
        }
      },
      {
        test: {
          name: "faults",
          include: ["test/faults/*.test.ts"],
          poolOptions: { forks: { singleFork: true } },
          testTimeout: 300_000,
          hookTimeout: 180_000
        }
      }
    ]
  }
})
