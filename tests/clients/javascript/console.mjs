// The console in headless Chromium, as operators use it.
//
//   node console.mjs URL SCREENSHOTS ADMIN-TOKEN READ-TOKEN
//
// URL is the console's. The gateway has two keys, and a hub `chat` in serverless mode, which the plugin `chat` (examples/chat-rust) handles; clients are
// connected to it, one of which is the user `MARKUP` below, and one `ann`. All other hubs are in default mode. No hub has `cors-origins`.
// Screenshots of each page are written, in light, dark and in a window of a phone's width. Says `done` at its end.

import assert from "node:assert/strict";
import { join } from "node:path";
import { STEP, launch } from "./chromium.mjs";

const [url, screenshots, adminToken, readToken] = process.argv.slice(2);
const MARKUP = "<b>mallory</b>";
/** Would run if it became an element. */
const SCRIPT = "<img src=x onerror=alert(document.domain)>";
/** Where clients connect: the one place beside its own listener that the console may ask. */
const endpoint = await fetch(new URL("/admin/keys", url), { headers: { Authorization: `Bearer ${adminToken}` } })
  .then((answer) => answer.json())
  .then(({ keys }) => new URL(/Endpoint=([^;]+)/.exec(keys[0].connectionString)[1]).origin);

/** What a browser finds wrong with the pages. */
const complaints = [];
/** An answer that is an error, or that only its own pages may read, is shown, and no fault of theirs. */
const ANSWERS = /Failed to load resource|has been blocked by CORS policy/;
const browser = await launch();

async function window(name, options) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(STEP);
  const page = await context.newPage();
  page.on("pageerror", (error) => complaints.push(`${name}: ${error}`));
  page.on("console", (message) => {
    if (message.type() === "error" && !ANSWERS.test(message.text())) {
      complaints.push(`${name}: ${message.text()}`);
    }
  });
  page.on("dialog", (dialog) => {
    complaints.push(`${name}: ${dialog.message()}`);
    void dialog.dismiss();
  });
  // The console needs nothing from anywhere but its own listener and that of clients, and no address has the token.
  const asks = (asked) => {
    const { origin } = new URL(asked.replace(/^ws/, "http"));
    if (![new URL(url).origin, endpoint].includes(origin) || asked.includes(adminToken) || asked.includes(readToken)) {
      complaints.push(`${name} asks ${asked}`);
    }
  };
  page.on("request", (request) => asks(request.url()));
  page.on("websocket", (socket) => asks(socket.url()));
  return { name, context, page };
}

async function signIn(page, token) {
  await page.goto(url);
  await page.getByLabel("Admin token").fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
  await heading(page, "Overview");
}

function heading(page, name) {
  return page.getByRole("heading", { level: 1, name, exact: true }).waitFor();
}

async function open(page, title) {
  await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: title }).click();
  await heading(page, title);
}

async function shoot({ page, name }, what) {
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.equal(overflow, 0, `${name}, ${what}: the page is no wider than the window`);
  await page.screenshot({ animations: "disabled", path: join(screenshots, `${what}-${name}.png`), fullPage: true });
}

/** Whatever can be used has a name. */
async function named(page, what) {
  const nameless = await page.evaluate(() =>
    [...document.querySelectorAll("button, a, input, select, textarea")]
      .filter((element) => !(element.ariaLabel || element.textContent.trim() || element.labels?.length))
      .map((element) => element.outerHTML),
  );
  assert.deepEqual(nameless, [], what);
}

async function tour(shown) {
  const { page } = shown;
  await page.goto(url);
  await page.getByLabel("Admin token").waitFor();
  await shoot(shown, "sign-in");
  await signIn(page, adminToken);
  // Rates need two samples.
  const known = page.getByRole("img", { name: /^Messages a second: out [0-9]/ });
  await known.waitFor();
  // What charts show is there again at once, when nobody has been asked yet.
  await page.route("**/metrics", () => undefined);
  await page.reload();
  await known.waitFor();
  await page.unroute("**/metrics");
  await page.reload();
  await known.waitFor();
  await shoot(shown, "overview");
  await open(page, "Hubs");
  await page.getByRole("link", { name: "chat" }).waitFor();
  await shoot(shown, "hubs");
  await page.getByRole("button", { name: "New hub" }).click();
  await page.getByLabel("Name").fill("orders");
  await page.getByRole("radio", { name: "Default", exact: true }).check();
  await named(page, "new hub");
  await shoot(shown, "new-hub");
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.getByRole("link", { name: "chat" }).click();
  await heading(page, "chat");
  await page.getByRole("region", { name: "Configuration" }).getByText("All events: plugin chat.").waitFor();
  await page.getByRole("radio", { name: "Default", exact: true }).check();
  await shoot(shown, "hub");
  await open(page, "Plugins");
  await page.getByRole("heading", { name: "chat" }).waitFor();
  await named(page, "plugins");
  await page.getByText("Log", { exact: true }).first().click();
  await page.getByText("The log has nothing about it since the gateway started.").or(page.getByRole("log")).first().waitFor();
  await shoot(shown, "plugins");
  await page.getByRole("button", { name: "Swap…" }).first().click();
  await shoot(shown, "swap");
  await page.getByRole("button", { name: "Cancel" }).click();
  await open(page, "Connections");
  await page.getByLabel("User", { exact: true }).fill(MARKUP);
  await page.getByRole("button", { name: "Find" }).click();
  await page.getByRole("link", { name: "Clear" }).waitFor();
  await page.getByRole("rowheader", { name: MARKUP }).first().waitFor();
  assert.equal(await page.locator("main b").count(), 0, "a name is text, whatever it looks like");
  await shoot(shown, "found");
  await page.getByRole("link", { name: "Clear" }).click();
  await page.getByRole("rowheader", { name: "ann" }).first().waitFor();
  await named(page, "connections");
  await shoot(shown, "connections");
  await page.getByRole("button", { name: /^Close the connection of/ }).first().click();
  await shoot(shown, "close");
  await page.getByRole("button", { name: "Cancel" }).click();
  await open(page, "Keys");
  assert.equal(await page.getByText("AccessKey=").count(), 0, "keys are hidden until somebody asks for them");
  await page.getByRole("button", { name: "Show" }).first().click();
  await page.getByText("AccessKey=").waitFor();
  await shoot(shown, "keys");
  await page.getByRole("button", { name: "Regenerate…" }).first().click();
  await shoot(shown, "regenerate");
  await page.getByRole("button", { name: "Cancel" }).click();
}

/** What is called on a page of the playground, answered, and what comes to its clients. */
async function call(page, client, method, values) {
  await client.getByLabel("Method").fill(method);
  await client.getByLabel("Arguments").fill(JSON.stringify(values));
  await client.getByRole("button", { name: "Call", exact: true }).click();
}

async function connectAs(page, hub, user) {
  await page.getByLabel("Hub", { exact: true }).fill(hub);
  await page.getByLabel("User id").fill(user);
  await page.getByRole("button", { name: "Connect", exact: true }).click();
  return page.getByRole("region", { name: new RegExp(`^Client .* of ${hub}$`) }).first();
}

function logged(client, text) {
  return client.getByRole("listitem").filter({ hasText: text }).first().waitFor();
}

/** Clients of the playground are real ones; names and texts of whoever is hostile are texts. */
async function playing(shown) {
  const { page } = shown;
  await open(page, "Playground");
  const mallory = await connectAs(page, "chat", MARKUP);
  await logged(mallory, "connected WebSockets");
  await call(page, mallory, "join", [SCRIPT, MARKUP]);
  await logged(mallory, `Welcome to ${SCRIPT}, ${MARKUP}!`);
  const ann = await connectAs(page, "chat", "ann");
  await logged(ann, "connected WebSockets");
  await call(page, ann, "join", [SCRIPT, "ann"]);
  await call(page, ann, "say", [SCRIPT, "hello"]);
  await logged(page.getByRole("region", { name: `Client ${MARKUP}` }), `said ["${SCRIPT}","ann","hello"]`);
  await call(page, ann, SCRIPT, []);
  await logged(ann, `There is no method '${SCRIPT}'.`);
  await ann.getByRole("button", { name: "Send to clients…" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Method").fill(SCRIPT);
  await dialog.getByLabel("Arguments").fill(JSON.stringify([MARKUP]));
  await dialog.getByRole("button", { name: "Send", exact: true }).click();
  await dialog.waitFor({ state: "detached" });
  await logged(ann, `${SCRIPT} ["${MARKUP}"]`);
  await named(page, "playground");
  await shoot(shown, "playground");
  assert.equal(await page.locator("main img").count(), 0, "names are texts, whatever they look like");

  // What a mode means is said before, and what the gateway has said is shown.
  await page.getByLabel("Hub", { exact: true }).fill("nobody_serves");
  const refused = await connectAs(page, "nobody_serves", "");
  await logged(refused, "app servers are not connected");
  await refused.getByRole("button", { name: "Remove" }).click();
  // Other transports begin with a request, whose answer this page may not read.
  await page.getByLabel("Transport").selectOption("LongPolling");
  const hidden = await connectAs(page, "chat", "bob");
  await logged(hidden, `hubs.chat.cors-origins does not have "${new URL(url).origin}"`);
  await hidden.getByRole("button", { name: "Remove" }).click();

  // Clients stay while their operator looks at something else.
  await page.goto(`${url}#/connections?${new URLSearchParams({ hub: "chat", group: SCRIPT })}`);
  await page.getByText("2 connections").waitFor();
  assert.equal(await page.locator("main img").count(), 0);
}

/** By keyboard; while it has the focus, newer traces wait. */
async function unfold(page, summary) {
  await summary.focus();
  await page.keyboard.press("Enter");
}

/** A message's way is shown when it is over, with its arguments only for who asks for them. */
async function tracing(shown) {
  const { page, context } = shown;
  const user = `${MARKUP} ${shown.name}`;
  const other = await context.newPage();
  await signIn(other, adminToken);
  await open(other, "Playground");
  const client = await connectAs(other, "chat", user);
  await logged(client, "connected WebSockets");

  await open(page, "Live trace");
  await page.getByLabel("User", { exact: true }).fill(user);
  await page.getByRole("button", { name: "Start" }).click();
  await page.getByText(`Watching user ${user}.`).waitFor();
  await call(other, client, "join", ["trace", SCRIPT]);
  const trace = page.getByRole("listitem").filter({ hasText: "join" }).filter({ hasText: user }).first();
  await trace.waitFor();
  await unfold(page, trace.locator("summary"));
  await trace.getByRole("listitem").filter({ hasText: /^handle chat, version 1/ }).waitFor();
  assert.equal(await trace.locator("pre").count(), 0, "arguments are shown to whoever asks for them");
  await page.getByRole("checkbox", { name: "With arguments" }).check();
  await page.getByRole("button", { name: "Apply" }).click();
  await page.getByText(`Watching user ${user}, with arguments.`).waitFor();
  await page.getByRole("button", { name: "Clear" }).click();
  await call(other, client, "say", ["trace", SCRIPT]);
  const next = page.getByRole("listitem").filter({ hasText: "say" }).filter({ hasText: user }).first();
  await next.waitFor();
  await unfold(page, next.locator("summary"));
  await next.locator("pre").filter({ hasText: SCRIPT }).first().waitFor();
  await next.getByRole("listitem").filter({ hasText: "send" }).first().waitFor();
  await call(other, client, SCRIPT, []);
  const failed = page.locator("summary").filter({ hasText: SCRIPT }).filter({ hasText: "rejected" }).first();
  await page.getByRole("button", { name: /^Show [0-9]+ newer$/ }).click();
  await failed.waitFor();
  await unfold(page, failed);
  await named(page, "trace");
  await shoot(shown, "trace");
  assert.equal(await page.locator("main img").count() + (await page.locator("main b b").count()), 0);
  await page.getByRole("button", { name: "Stop" }).click();
  await page.getByText("Not watching.").waitFor();
  await other.close();
}

/** Changes are shown, and so is what the gateway says against them. */
async function changes(shown) {
  const { page } = shown;
  await open(page, "Hubs");
  await page.getByRole("button", { name: "New hub" }).click();
  await page.getByLabel("Name").fill("made");
  await page.getByRole("radio", { name: "Serverless", exact: true }).check();
  await page.getByRole("button", { name: "Create hub" }).click();
  await heading(page, "made");
  // Nobody has used it, and it is there.
  await page.getByRole("definition").filter({ hasText: "Serverless" }).waitFor();
  for (const name of ["nowhere", "..", SCRIPT]) {
    await page.goto(`${url}#/hubs/${encodeURIComponent(name)}`);
    await heading(page, name);
    await page.getByText("The configuration has no hub of this name").waitFor();
  }
  await open(page, "Plugins");
  const chat = page.getByRole("region", { name: "Plugin chat" });
  const back = chat.getByRole("button", { name: "Roll back…" });
  assert.equal(await back.getAttribute("aria-disabled"), "true", "there is nothing to go back to");
  await chat.getByText("Handles chat.").waitFor();
  await chat.getByRole("button", { name: "Swap…" }).click();
  await page.getByLabel("Component (.wasm)").setInputFiles({ name: "text.wasm", mimeType: "application/wasm", buffer: Buffer.from("no component") });
  await page.getByRole("button", { name: "Swap", exact: true }).click();
  await page.getByRole("alert").filter({ hasText: "Nothing was swapped: " }).waitFor();
  await shoot(shown, "refused");
  await page.keyboard.press("Escape");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Swap…", "the focus goes back to what opened the dialog");

  await page.goto(`${url}#/connections?${new URLSearchParams({ hub: "chat", user: MARKUP })}`);
  const close = page.getByRole("button", { name: `Close the connection of ${MARKUP}` });
  await close.first().waitFor();
  const before = await close.count();
  await close.first().click();
  await page.getByLabel("Reason for the client").fill("signed in elsewhere");
  await page.getByRole("button", { name: "Close the connection", exact: true }).click();
  await page.getByRole("status").filter({ hasText: `The connection of ${MARKUP} was closed.` }).waitFor();
  assert.equal(await close.count(), before - 1);

  await open(page, "Keys");
  const secondary = page.getByRole("region", { name: "Secondary key" });
  await secondary.getByRole("button", { name: "Show" }).click();
  const old = await secondary.locator("code").textContent();
  await secondary.getByRole("button", { name: "Regenerate…" }).click();
  await page.getByRole("button", { name: "Regenerate", exact: true }).click();
  assert.equal(await page.getByRole("dialog").count(), 1, "nothing happens before it is confirmed");
  await page.getByRole("checkbox").check();
  await page.getByRole("button", { name: "Regenerate", exact: true }).click();
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.notEqual(await secondary.locator("code").textContent(), old);
}

/** The mode of a hub is changed once it was told what that does. */
async function modes(shown) {
  const { page } = shown;
  const asked = [];
  await page.route("**/admin/hubs/chat*", async (route) => {
    const request = route.request();
    if (request.method() === "GET") {
      await route.continue();
      return;
    }
    asked.push(`${request.method()} ${new URL(request.url()).search} ${request.postData()}`);
    await route.fulfill({ json: { closes: 412, seconds: 1 } });
  });
  await page.goto(`${url}#/hubs/chat`);
  await page.getByRole("radio", { name: "Default", exact: true }).check();
  await page.getByRole("button", { name: "Change to Default…" }).click();
  await page.getByText("412 clients will be closed, paced over 1 s.").waitFor();
  await shoot(shown, "mode");
  assert.deepEqual(asked, ['PUT ?dry-run=true {"mode":"default"}']);
  await page.getByRole("button", { name: "Change and close 412 clients" }).click();
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.deepEqual(asked.slice(1), ['PUT  {"mode":"default"}']);
}

/** Arguments are JSON, and whoever sends is told how many it was for. */
async function sending(shown) {
  const { page } = shown;
  const sent = [];
  await page.route("**/admin/hubs/chat/send", async (route) => {
    sent.push(route.request().postDataJSON());
    await route.fulfill({ json: { recipients: 3 } });
  });
  await page.goto(`${url}#/hubs/chat`);
  await page.getByRole("button", { name: "Send…" }).click();
  await page.getByRole("combobox").selectOption("user");
  await page.getByLabel("User", { exact: true }).fill("ann");
  await page.getByLabel("Method").fill("said");
  await page.getByLabel("Arguments").fill("hello");
  await page.getByRole("button", { name: "Send", exact: true }).click();
  await page.getByRole("alert").filter({ hasText: "not a JSON array" }).waitFor();
  await page.getByLabel("Arguments").fill('["hello", 1]');
  await shoot(shown, "send");
  await page.getByRole("button", { name: "Send", exact: true }).click();
  await page.getByRole("status").filter({ hasText: "Sent to 3 connections." }).waitFor();
  assert.deepEqual(sent, [{ to: { user: "ann" }, method: "said", arguments: ["hello", 1] }]);
}

/** Nodes appear where there is a cluster. */
async function nodes(shown) {
  const { page } = shown;
  const node = (name, more) => ({ node: name, version: "0.9.0", clients: 120, lagSeconds: 0, heardSecondsAgo: 0, differs: [], ...more });
  const others = [node("gateway-2"), node("gateway-3", { lagSeconds: 3.2, heardSecondsAgo: 4, differs: ["keys", "hubs"] })];
  const json = { node: "gateway-1", name: "production", joined: true, degraded: true, nodes: [node("gateway-1"), ...others] };
  await page.route("**/admin/cluster", (route) => route.fulfill({ json }));
  await page.reload();
  await open(page, "Nodes");
  await page.getByRole("rowheader", { name: "gateway-3" }).waitFor();
  await shoot(shown, "nodes");
  await open(page, "Overview");
  await page.getByText("Node gateway-3 is configured differently: keys, hubs.").waitFor();
  await shoot(shown, "degraded");
}

/** The read token looks, and is told why it changes nothing. */
async function looking(shown) {
  const { page } = shown;
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByLabel("Admin token").fill("nonsense");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").filter({ hasText: "The admin token is missing or wrong." }).waitFor();
  await signIn(page, readToken);
  const sent = [];
  page.on("request", (request) => request.method() === "GET" || sent.push(request.url()));
  await open(page, "Plugins");
  const swap = page.getByRole("button", { name: "Swap…" }).first();
  assert.equal(await swap.getAttribute("aria-disabled"), "true");
  // It can be reached, so that the reason is read out.
  await swap.focus();
  await page.keyboard.press("Enter");
  assert.equal(await page.getByRole("dialog").count(), 0);
  await page.getByText("You are signed in with the read token").waitFor();
  await shoot(shown, "looking");
  await open(page, "Live trace");
  await page.getByText("The read token does not show them.").waitFor();
  await page.getByRole("checkbox", { name: "With arguments" }).focus();
  await page.keyboard.press("Space");
  assert.equal(await page.getByRole("checkbox").isChecked(), false);
  await page.getByRole("button", { name: "Start" }).click();
  await page.getByText("Watching everything.").waitFor();
  await open(page, "Playground");
  await connectAs(page, "chat", "ann");
  await page.getByRole("alert").filter({ hasText: "bring one that hubgate token client has made" }).waitFor();
  await open(page, "Keys");
  await page.getByRole("button", { name: "Show" }).first().click();
  await page.getByRole("alert").filter({ hasText: "The read token does not open access keys" }).waitFor();
  assert.deepEqual(sent, []);
  // The token is this tab's, and gone when its owner signs out.
  await page.reload();
  await heading(page, "Keys");
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByLabel("Admin token").waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.length + localStorage.length + document.cookie.length), 0);
}

const LIGHT = { viewport: { width: 1280, height: 860 }, colorScheme: "light" };
const DARK = { ...LIGHT, colorScheme: "dark" };
const PHONE = { viewport: { width: 390, height: 780 }, hasTouch: true, colorScheme: "light" };

try {
  for (const [name, options, ...parts] of [
    ["light", LIGHT, tour, playing, tracing, changes, modes, sending, nodes],
    ["dark", DARK, tour, looking],
    ["phone", PHONE, tour, playing, tracing, modes, sending, nodes],
  ]) {
    const shown = await window(name, options);
    for (const part of parts) {
      await part(shown);
    }
    await shown.context.close();
  }
} finally {
  await browser.close();
}
assert.deepEqual(complaints, []);
console.log("done");
