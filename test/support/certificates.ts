/** TLS for the brokers of the tests: an authority of their own and a certificate for this machine, made by keytool. */
import { execFile } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync } from "node:fs"
import { mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"

import { cacheDirectory } from "./jars.ts"

const execute = promisify(execFile)

/** Password of every key store. They hold nothing worth a secret. */
export const storePassword = "sluice-test"

/** The key stores of the brokers, and what a client needs to trust and to be trusted. */
export interface Certificates {
  /** PKCS12: the broker's key and certificate, for `localhost` and `127.0.0.1`. */
  readonly serverStore: string
  /** PKCS12: the authority, which the brokers trust clients by. */
  readonly trustStore: string
  /** PKCS12: a client's key and certificate (`CN=client`), signed by the same authority. */
  readonly clientStore: string
  /** The authority's certificate in PEM. */
  readonly ca: string
}

const keytool = (directory: string, args: ReadonlyArray<string>): Promise<unknown> =>
  execute("keytool", [...args, "-storepass", storePassword, "-storetype", "PKCS12", "-noprompt"], { cwd: directory })

const signed = async (directory: string, alias: string, name: string, extensions: ReadonlyArray<string>) => {
  const store = ["-keystore", `${alias}.p12`]
  const [request, certificate] = [`${alias}.csr`, `${alias}.pem`]
  const key = ["-keyalg", "EC", "-groupname", "secp256r1", "-validity", "3650"]
  await keytool(directory, ["-genkeypair", "-alias", alias, "-dname", name, ...key, ...store])
  await keytool(directory, ["-certreq", "-alias", alias, "-file", request, ...store])
  await keytool(directory, [
    "-gencert",
    "-alias",
    "ca",
    "-infile",
    request,
    "-outfile",
    certificate,
    "-rfc",
    "-validity",
    "3650",
    ...extensions.flatMap((extension) => ["-ext", extension]),
    "-keystore",
    "ca.p12"
  ])
  await keytool(directory, ["-importcert", "-alias", "ca", "-file", "ca.pem", ...store])
  await keytool(directory, ["-importcert", "-alias", alias, "-file", certificate, ...store])
}

const make = async (directory: string): Promise<void> => {
  const key = ["-keyalg", "EC", "-groupname", "secp256r1", "-validity", "3650"]
  const authority = ["-alias", "ca", "-keystore", "ca.p12"]
  await keytool(directory, ["-genkeypair", "-dname", "CN=Sluice test authority", "-ext", "bc:c", ...key, ...authority])
  await keytool(directory, ["-exportcert", "-rfc", "-file", "ca.pem", ...authority])
  await Promise.all([
    keytool(directory, ["-importcert", "-alias", "ca", "-file", "ca.pem", "-keystore", "trust.p12"]),
    signed(directory, "server", "CN=localhost", ["san=dns:localhost,ip:127.0.0.1", "eku=serverAuth"]),
    signed(directory, "client", "CN=client", ["eku=clientAuth"])
  ])
}

/** Makes the certificates on the first call and keeps them beside the jars; a change of this file makes them anew. */
export const certificates = async (): Promise<Certificates> => {
  const recipe = createHash("sha256").update(await readFile(fileURLToPath(import.meta.url))).digest("hex").slice(0, 8)
  const target = join(cacheDirectory, `certificates-${recipe}`)
  if (!existsSync(target)) {
    await mkdir(cacheDirectory, { recursive: true })
    const unfinished = await mkdtemp(join(cacheDirectory, "unfinished-"))
    try {
      await make(unfinished)
      await rename(unfinished, target).catch((error) => {
        if (!existsSync(target)) throw error
      })
    } finally {
      await rm(unfinished, { recursive: true, force: true })
    }
  }
  return {
    serverStore: join(target, "server.p12"),
    trustStore: join(target, "trust.p12"),
    clientStore: join(target, "client.p12"),
    ca: await readFile(join(target, "ca.pem"), "utf8")
  }
}
