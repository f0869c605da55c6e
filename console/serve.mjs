// Serves dist/ as a gateway does, before a gateway that runs: for whoever works at the console.
//
//   node serve.mjs [ADMIN-ADDRESS] [PORT] [ENDPOINT]...
//
// The page is at /console/, with the headers that it has to live with; all else is asked of the admin listener. ENDPOINT is where clients
// connect to, as in a connection string (http://localhost:8888): the playground may.

import { readFileSync } from "node:fs";
import { createServer, request } from "node:http";

const admin = process.argv[2] ?? "127.0.0.1:8889";
const port = Number(process.argv[3] ?? 8890);
const endpoints = process.argv.length > 4 ? process.argv.slice(4) : ["http://localhost:8888"];

const FILES = {
  "": ["index.html", "text/html; charset=utf-8"],
  "console.js": ["console.js", "text/javascript; charset=utf-8"],
  "console.css": ["console.css", "text/css; charset=utf-8"],
  "signalr.js": ["signalr.js", "text/javascript; charset=utf-8"],
  "icon.svg": ["icon.svg", "image/svg+xml"],
  "licenses.txt": ["licenses.txt", "text/plain; charset=utf-8"],
};
/** An endpoint's origin, for requests and for WebSockets. */
const origins = endpoints.map((endpoint) => new URL(endpoint).origin).flatMap((origin) => [origin, origin.replace(/^http/, "ws")]);
const HEADERS = {
  "Content-Security-Policy":
    `default-src 'none'; script-src 'self'; style-src 'self'; connect-src ${["'self'", ...origins].join(" ")}; ` +
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; " +
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Cache-Control": "no-cache",
};

createServer((asked, answer) => {
  const { pathname } = new URL(asked.url, "http://localhost");
  if (pathname === "/" || pathname === "/console") {
    answer.writeHead(308, { Location: "/console/" }).end();
    return;
  }
  const file = pathname.startsWith("/console/") ? FILES[pathname.slice("/console/".length)] : undefined;
  if (file) {
    const [name, type] = file;
    answer.writeHead(200, { ...HEADERS, "Content-Type": type }).end(readFileSync(new URL(`dist/${name}`, import.meta.url)));
    return;
  }
  pass(asked, answer);
}).listen(port, "127.0.0.1", () => console.log(`http://127.0.0.1:${port}/console/`));

function pass(asked, answer) {
  const [hostname, to] = admin.split(":");
  const { origin, ...headers } = asked.headers;
  const sent = { ...headers, host: admin, ...(origin && { origin: `http://${admin}` }) };
  const passed = request({ hostname, port: to, method: asked.method, path: asked.url, headers: sent }, (got) => {
    answer.writeHead(got.statusCode, got.headers);
    got.pipe(answer);
  });
  passed.on("error", (error) => answer.writeHead(502).end(`${error.message}\n`));
  // Who asks may leave in the middle of an answer that never ends.
  answer.on("close", () => passed.destroy());
  asked.pipe(passed);
}
