// The page of examples/poll in headless Chromium, in two windows.
//
//   node poll_page.mjs URL SCREENSHOTS

import assert from "node:assert/strict";
import { join } from "node:path";
import { STEP, launch } from "./chromium.mjs";

const [url, screenshots] = process.argv.slice(2);
const browser = await launch();
const complaints = [];

async function window(options) {
  const page = await (await browser.newContext(options)).newPage();
  page.setDefaultTimeout(STEP);
  page.on("pageerror", (error) => complaints.push(`${error}`));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  await page.goto(url);
  await page.locator("#status[data-state=connected]").waitFor();
  return page;
}

const shows = (page, choice, count) => page.getByRole("button", { name: choice }).filter({ hasText: count }).waitFor();

const wide = await window({ viewport: { width: 900, height: 700 } });
const narrow = await window({ viewport: { width: 380, height: 700 }, colorScheme: "dark" });
await wide.locator("#language", { hasText: "JavaScript" }).waitFor();
await shows(narrow, "coffee", "0");
await wide.getByRole("button", { name: "tea" }).click();
for (const page of [wide, narrow]) await shows(page, "tea", "1 · 100 %");
await narrow.getByRole("button", { name: "coffee" }).click();
for (const page of [wide, narrow]) await shows(page, "coffee", "1 · 50 %");
await wide.getByRole("button", { name: "tea", pressed: true }).waitFor();
// Playwright itself would wait for a button that looks as if it did nothing.
await wide.getByRole("button", { name: "water" }).click({ force: true });
await wide.getByRole("alert").filter({ hasText: "You have voted already." }).waitFor();
const fits = await narrow.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth);
assert.ok(fits, "nothing is wider than a narrow window");
await wide.screenshot({ path: join(screenshots, "wide.png") });
await narrow.screenshot({ path: join(screenshots, "narrow.png") });
console.log("swap the component");
for (const page of [wide, narrow]) {
  await page.locator("#language", { hasText: "TypeScript" }).waitFor({ timeout: 4 * STEP });
  await shows(page, "coffee", "1 · 50 %");
}
assert.deepEqual(complaints, []);
await browser.close();
console.log("done");
