// What older SignalR clients that do not run in Node.js do in pages in headless Chromium.
//
//   node older_in_browser.mjs URL TOKEN ORIGIN CLIENT MESSAGEPACK [CLIENT MESSAGEPACK]…
//
// ORIGIN is one that the hubs allow; nothing listens there. Everything else is as in older.mjs, and each line begins with `CLIENT | `.

import { readFileSync } from "node:fs";
import { launchWithProfile } from "./chromium.mjs";
import { smoke, WAYS } from "./smoke.mjs";

const [url, token, origin, ...packages] = process.argv.slice(2);
const bundle = (path) => readFileSync(`node_modules/${path}.min.js`, "utf8");
// The protocol's bundle is without msgpack5, which pages have to bring.
const SCRIPTS = ["/signalr.js", "/msgpack5.js", "/protocol.js", "/smoke.js"];
/** What is at the origin while a page uses these packages. */
const filesOf = (client, messagePack) => ({
  "/": `<!doctype html>${SCRIPTS.map((path) => `<script src=${path}></script>`).join("")}`,
  "/signalr.js": bundle(`${client}/dist/browser/signalr`),
  "/msgpack5.js": bundle("msgpack5/dist/msgpack5"),
  "/protocol.js": bundle(`${messagePack}/dist/browser/signalr-protocol-msgpack`),
  "/smoke.js": smoke.toString(),
});

// A page that comes from nowhere may ask loopback addresses only where nobody would have to be asked first.
const { context, end } = await launchWithProfile({ args: ["--disable-features=LocalNetworkAccessChecks"] });
try {
  for (let index = 0; index < packages.length; index += 2) {
    const [client, messagePack] = packages.slice(index);
    const files = filesOf(client, messagePack);
    const page = await context.newPage();
    page.on("console", (message) => console.error(`the browser says: ${message.text()}`));
    await page.route(`${origin}/**`, (route) => {
      const path = new URL(route.request().url()).pathname;
      const contentType = path === "/" ? "text/html" : "text/javascript";
      return route.fulfill(path in files ? { body: files[path], contentType } : { status: 404 });
    });
    await page.goto(`${origin}/`);
    for (const [transport, protocol] of WAYS) {
      const done = await page.evaluate(
        (way) => window.smoke(window.signalR, window.signalR.protocols.msgpack.MessagePackHubProtocol, way),
        { url, token, transport, protocol },
      );
      done.forEach((feature) => console.log(`${client} | ${transport} | ${protocol} | ${feature}`));
    }
    await page.close();
  }
} finally {
  await end();
}
console.log("done");
