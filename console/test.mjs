// Runs src/*.test.mjs with Node's own runner: npm test

import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const work = mkdtempSync(join(tmpdir(), "hubgate-console-"));
const names = readdirSync(join(here, "src")).filter((name) => name.endsWith(".test.mjs"));
await build({
  absWorkingDir: here,
  entryPoints: names.map((name) => `src/${name}`),
  outdir: work,
  outExtension: { ".js": ".mjs" },
  bundle: true,
  platform: "node",
  format: "esm",
  // The little of a browser that modules touch when they are loaded.
  banner: {
    js: `globalThis.document = { baseURI: "http://localhost/console/", hidden: true };
globalThis.sessionStorage = { getItem: () => null, setItem() {}, removeItem() {} };
globalThis.location = { hash: "" };
globalThis.addEventListener = () => {};`,
  },
  logLevel: "warning",
});
const tests = names.map((name) => join(work, name));
const { status } = spawnSync(process.execPath, ["--test", "--test-reporter=spec", ...tests], { stdio: "inherit" });
rmSync(work, { recursive: true, force: true });
process.exitCode = status ?? 1;
