// The unmodified SignalR client in headless Chromium, on a page of another origin: each transport with each hub protocol.
//
//   node browser_transports.mjs URL ORIGIN
//
// URL is the gateway's, with the probe as upstream of hub `probe`; ORIGIN is one that the hub allows. Nothing listens
// there: what the page needs is given to the browser here.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { launchWithProfile } from "./chromium.mjs";

const [url, origin] = process.argv.slice(2);
const bundle = (name) => readFileSync(`node_modules/@microsoft/${name}/dist/browser/${name}.min.js`, "utf8");
const files = {
  "/": "<!doctype html><script src=/signalr.js></script><script src=/msgpack.js></script>",
  "/signalr.js": bundle("signalr"),
  "/msgpack.js": bundle("signalr-protocol-msgpack"),
};

const { context, end } = await launchWithProfile({
  args: [
    // A page that comes from nowhere may ask loopback addresses only where nobody would have to be asked first.
    "--disable-features=LocalNetworkAccessChecks",
    // The gateway's certificate is one that it has signed itself.
    ...(url.startsWith("https:") ? ["--ignore-certificate-errors"] : []),
  ],
});
try {
  const page = await context.newPage();
  page.on("console", (message) => console.log(`the browser says: ${message.text()}`));
  await context.route(`${origin}/**`, (route) => {
    const path = new URL(route.request().url()).pathname;
    const contentType = path === "/" ? "text/html" : "text/javascript";
    return route.fulfill(path in files ? { body: files[path], contentType } : { status: 404 });
  });
  await page.goto(`${origin}/`);
  for (const [transport, protocol] of [
    ["WebSockets", "json"],
    ["WebSockets", "messagepack"],
    ["ServerSentEvents", "json"],
    ["LongPolling", "json"],
    ["LongPolling", "messagepack"],
  ]) {
    assert.deepEqual(await page.evaluate(talk, { url, transport, protocol }), [["a", 1.5, null], "to all", undefined]);
    console.log(`${transport} ${protocol}`);
  }
} finally {
  await end();
}
console.log("done");

/** Runs in the page: a call with a result, a message to all, and the end. */
async function talk({ url, transport, protocol }) {
  const { HubConnectionBuilder, HttpTransportType, LogLevel } = window.signalR;
  const builder = new HubConnectionBuilder()
    .withUrl(`${url}/hubs/probe`, { transport: HttpTransportType[transport] })
    .configureLogging(LogLevel.Warning);
  if (protocol === "messagepack") {
    builder.withHubProtocol(new window.signalR.protocols.msgpack.MessagePackHubProtocol());
  }
  const connection = builder.build();
  const heard = new Promise((resolve) => connection.on("said", (text) => void resolve(text)));
  const closed = new Promise((resolve) => connection.onclose(resolve));
  await connection.start();
  const echoed = await connection.invoke("echo", ["a", 1.5, null]);
  await connection.send("say", "to all");
  const said = await heard;
  await connection.stop();
  return [echoed, said, await closed];
}
