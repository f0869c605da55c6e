// Builds dist/ from src/: the same files from the same sources, wherever it runs.

import { copyFileSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = (...parts) => join(fileURLToPath(new URL(".", import.meta.url)), ...parts);
/** What the page may weigh, in bytes, and what is loaded only when a client of the playground connects. */
const MOST = { page: 180_000, later: 60_000 };
const LATER = "signalr.js";
/** Licences that packages do not bring as a file. */
const LICENCES = { "node_modules/@microsoft/signalr": "licenses/signalr.txt" };
const dist = process.argv[2] ?? here("dist");

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist, { recursive: true });
const { metafile } = await build({
  absWorkingDir: here(),
  entryPoints: { console: "src/main.tsx", signalr: "src/signalr.ts" },
  external: [`./${LATER}`],
  metafile: true,
  outdir: dist,
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022", "chrome111", "firefox115", "safari16.4"],
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none",
  charset: "utf8",
  logLevel: "warning",
});
await build({
  absWorkingDir: here(),
  entryPoints: { console: "src/style.css" },
  outdir: dist,
  bundle: true,
  minify: true,
  target: ["chrome111", "firefox115", "safari16.4"],
  charset: "utf8",
  logLevel: "warning",
});
for (const name of ["index.html", "icon.svg"]) {
  copyFileSync(here("src", name), join(dist, name));
}
writeFileSync(join(dist, "licenses.txt"), licenses());

const sizes = Object.fromEntries(readdirSync(dist).map((name) => [name, readFileSync(join(dist, name)).length]));
const later = sizes[LATER];
const page = Object.values(sizes).reduce((total, size) => total + size, 0) - later;
console.log(Object.entries({ ...sizes, page, later }).map(([name, size]) => `${String(size).padStart(7)} ${name}`).join("\n"));
if (page > MOST.page || later > MOST.later) {
  throw new Error(`dist has ${page} and ${later} bytes, more than ${MOST.page} and ${MOST.later}`);
}

/** The licences of what is linked into the page, which want to go with it. */
function licenses() {
  const lock = JSON.parse(readFileSync(here("package-lock.json"), "utf8"));
  const inputs = Object.keys(metafile.inputs);
  const linked = Object.entries(lock.packages).filter(([path]) => path !== "" && inputs.some((input) => input.startsWith(`${path}/`)));
  // The style sheet of a package comes with its program.
  return linked
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([path, { version }]) => {
      const file = readdirSync(here(path)).find((name) => /^licen[cs]e/i.test(name));
      const text = file ? join(path, file) : LICENCES[path];
      if (!text) {
        throw new Error(`${path} has no licence`);
      }
      return `${path.replace(/^.*node_modules\//, "")} ${version}\n\n${readFileSync(here(text), "utf8").trim()}\n`;
    })
    .join("\n----\n\n");
}
