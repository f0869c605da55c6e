// The chat's page in headless Chromium, in two windows that know nothing of each other.
//
//   node browser.mjs URL SCREENSHOTS [GREETING]
//
// Says in lines how far it is, and `done` at its end. The test that started this stops the gateway when it is told `stop me`, and starts
// it when it is told `start me again`. Where there is a GREETING, it puts the component in its place that greets so when it is told
// `change the component`.

import assert from "node:assert/strict";
import { join } from "node:path";
import { STEP, launchWithProfile } from "./chromium.mjs";

const [url, screenshots, newGreeting] = process.argv.slice(2);
const MARKUP = "<img src=x onerror=\"document.title='taken over'\"><b>bold</b>";

/** What a browser finds wrong with the page; a lost connection is no fault of the page's, nor is a gateway that is not ready. */
const complaints = [];

async function window(name, options) {
  const { context, end } = await launchWithProfile(options);
  const page = context.pages()[0] ?? (await context.newPage());
  page.on("pageerror", (error) => complaints.push(`${name}: ${error}`));
  page.on("console", (message) => {
    if (message.type() === "error" && !/ERR_|WebSocket|connection|negotiat|status of 503/i.test(message.text())) {
      complaints.push(`${name}: ${message.text()}`);
    }
  });
  // The page needs nothing from anywhere but the gateway.
  await context.route("**/*", (route) => {
    const { hostname } = new URL(route.request().url());
    if (!["127.0.0.1", "localhost"].includes(hostname)) {
      complaints.push(`${name} asks ${route.request().url()}`);
      return route.abort();
    }
    return route.continue();
  });
  await page.goto(url);
  await connected(page);
  return { page, name, end };
}

function connected(page) {
  return page.locator("#status[data-state=connected]").waitFor();
}

async function enter({ page, name }, room) {
  await page.getByLabel("Your name").fill(name);
  await page.getByLabel("Room", { exact: true }).fill(room);
  await page.locator("#enter").getByRole("button", { name: "Join" }).click();
  await line(page, `Welcome to ${room}, ${name}`);
}

async function say({ page }, text) {
  await page.getByLabel("Message", { exact: true }).fill(text);
  await page.getByRole("button", { name: "Send" }).click();
}

function line(page, text) {
  return page.getByRole("log").getByText(text, { exact: false }).first().waitFor();
}

async function lines({ page }) {
  return page.getByRole("log").locator(".said").allTextContents();
}

const ann = await window("Ann", { viewport: { width: 1200, height: 820 } });
const bob = await window("Bob", { viewport: { width: 390, height: 780 }, colorScheme: "dark", hasTouch: true });
try {
  await ann.page.screenshot({ animations: "disabled", path: join(screenshots, "enter.png") });

  // Names and rooms.
  await enter(ann, "lobby");
  await enter(bob, "lobby");
  await line(ann.page, "Bob has joined");
  await say(ann, "Hello, Bob!");
  await line(bob.page, "Hello, Bob!");
  await say(bob, "Hello, Ann. Is that a component that answers us?");
  await line(ann.page, "Is that a component");
  assert.deepEqual(await lines(ann), await lines(bob));
  assert.equal(await bob.page.locator(".message:not(.own) .who").first().textContent(), "Ann");

  // What somebody writes is text, whatever it looks like.
  await say(bob, MARKUP);
  await line(ann.page, MARKUP);
  assert.equal(await ann.page.locator("#log img, #log b").count(), 0);
  assert.match(await ann.page.title(), /Ann/);

  // Another room: what is said in the first one waits there.
  await bob.page.getByLabel("Another room").fill("tea room");
  await bob.page.locator("#add").getByRole("button", { name: "Join" }).click();
  await line(bob.page, "Welcome to tea room, Bob");
  await say(bob, "Only in the tea room.");
  await line(bob.page, "Only in the tea room.");
  await say(ann, "Where are you?");
  await bob.page.locator(".room", { hasText: "lobby" }).locator(".badge", { hasText: "1" }).waitFor();
  assert.deepEqual(await lines(bob), ["Only in the tea room."]);
  assert.ok(!(await lines(ann)).includes("Only in the tea room."));
  await bob.page.getByRole("button", { name: "lobby" }).first().click();
  await line(bob.page, "Where are you?");
  await ann.page.screenshot({ animations: "disabled", path: join(screenshots, "light.png") });
  await bob.page.screenshot({ animations: "disabled", path: join(screenshots, "dark-and-small.png"), fullPage: true });

  // Nothing of the page is out of reach, be the window wide or small.
  for (const { page } of [ann, bob]) {
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.equal(overflow, 0, "the page is no wider than the window");
  }

  // It says what answers it, and leads to documents that are there.
  await fact(ann.page, "clients", /^2$/);
  await fact(ann.page, "generation", /^1$/);
  await fact(ann.page, "digest", /^[0-9a-f]{12}$/);
  await fact(ann.page, "call-time", /^≤ [0-9,]+ µs$/);
  await fact(ann.page, "swapped", /^Started \d+ (s|min) ago$/);
  await fact(ann.page, "disconnects", /^0$/);
  for (const document of await ann.page.locator("a[href^='docs/']").all()) {
    const answer = await ann.page.request.get(new URL(await document.getAttribute("href"), url).href, { timeout: STEP });
    assert.ok(answer.ok() && (await answer.text()).startsWith("# "), await document.getAttribute("href"));
  }

  // The page says when the gateway is away, comes back by itself, and into its rooms.
  console.log("stop me");
  await Promise.all([ann, bob].map(({ page }) => page.locator("#away").waitFor()));
  assert.match(await ann.page.locator("#away").textContent(), /The gateway does not answer/);
  await ann.page.screenshot({ animations: "disabled", path: join(screenshots, "away.png") });
  console.log("start me again");
  await Promise.all([ann, bob].map(({ page }) => welcomedAgain(page)));
  await ann.page.locator("#away").waitFor({ state: "hidden" });
  await fact(ann.page, "disconnects", /^1$/);
  await say(ann, "We are back.");
  await line(bob.page, "We are back.");

  // A component that changes answers a page that stays.
  if (newGreeting) {
    await ann.page.evaluate(() => (window.sameAsBefore = true));
    console.log("change the component");
    await greeted(ann.page, newGreeting);
    await fact(ann.page, "generation", /^2$/);
    await fact(ann.page, "swapped", /^Swapped \d+ (s|min) ago$/);
    await fact(ann.page, "disconnects", /^1$/);
    await ann.page.screenshot({ animations: "disabled", path: join(screenshots, "swapped.png") });
    assert.equal(await ann.page.evaluate(() => window.sameAsBefore), true, "the page was not loaded again");
    await ann.page.getByRole("button", { name: "lobby", exact: true }).click();
  }

  // Leaving a room ends what is heard of it.
  await bob.page.getByRole("button", { name: "Leave lobby" }).click();
  await line(ann.page, "Bob has left");
  await say(ann, "Good bye.");
  await line(ann.page, "Good bye.");
  await bob.page.getByRole("button", { name: "Leave tea room" }).click();
  await bob.page.getByLabel("Your name").waitFor();
  assert.deepEqual(complaints, []);
} catch (error) {
  await ann.page.screenshot({ animations: "disabled", path: join(screenshots, "failed-ann.png") });
  await bob.page.screenshot({ animations: "disabled", path: join(screenshots, "failed-bob.png") });
  console.error({ complaints });
  throw error;
} finally {
  await ann.end();
  await bob.end();
}
console.log("done");

/** Waits until the page says this of what answers it. */
function fact(page, id, text) {
  return page.locator(`#${id}`).filter({ hasText: text }).waitFor();
}

/** Joins one room after another until a greeting begins in the new way. */
async function greeted(page, greeting) {
  for (let room = 1; room < 200; room += 1) {
    await page.getByLabel("Another room").fill(`room ${room}`);
    await page.locator("#add").getByRole("button", { name: "Join" }).click();
    await line(page, ` to room ${room}, Ann`);
    if (await page.getByRole("log").getByText(`${greeting} to room ${room}, Ann`).count()) {
      return;
    }
    await page.getByRole("button", { name: `Leave room ${room}`, exact: true }).click();
    await page.getByRole("button", { name: `room ${room}`, exact: true }).waitFor({ state: "detached" });
  }
  assert.fail("nobody greets in the new way");
}

/** Waits until the page has been greeted in its current room twice: when it entered, and when it came back. */
async function welcomedAgain(page) {
  await page.waitForFunction(
    () => [...document.querySelectorAll("#log .news")].filter((news) => news.textContent.startsWith("Welcome")).length > 1,
  );
}
