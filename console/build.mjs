// Builds dist/ from src/: the same files from the same sources, wherever it runs.

import { copyFileSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = (...parts) => join(fileURLToPath(new URL(".", import.meta.url)), ...parts);
/** What the page may weigh, in bytes. */
const MOST = 170_000;
const dist = process.argv[2] ?? here("dist");

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist, { recursive: true });
await build({
  absWorkingDir: here(),
  entryPoints: { console: "src/main.tsx" },
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

const sizes = readdirSync(dist).map((name) => [name, readFileSync(join(dist, name)).length]);
const all = sizes.reduce((total, [, size]) => total + size, 0);
console.log([...sizes, ["all", all]].map(([name, size]) => `${String(size).padStart(7)} ${name}`).join("\n"));
if (all > MOST) {
  throw new Error(`dist has ${all} bytes, more than ${MOST}`);
}

/** The licences of what is linked into the page, which want to go with it. */
function licenses() {
  const lock = JSON.parse(readFileSync(here("package-lock.json"), "utf8"));
  const linked = Object.entries(lock.packages).filter(([path, { dev }]) => path !== "" && !dev);
  return linked
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([path, { version }]) => {
      const file = readdirSync(here(path)).find((name) => /^licen[cs]e/i.test(name));
      if (!file) {
        throw new Error(`${path} has no licence`);
      }
      return `${path.replace(/^.*node_modules\//, "")} ${version}\n\n${readFileSync(here(path, file), "utf8").trim()}\n`;
    })
    .join("\n----\n\n");
}
