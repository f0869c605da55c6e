// The pages of examples/hubs in headless Chromium, each in two windows.
//
//   node sample_pages.mjs URL SCREENSHOTS

import assert from "node:assert/strict";
import { join } from "node:path";
import { chromium } from "playwright-core";

const [url, screenshots, only] = process.argv.slice(2);
const TIMEOUT = 20_000;
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const complaints = [];

async function window(options) {
  const page = await (await browser.newContext(options)).newPage();
  page.setDefaultTimeout(TIMEOUT);
  page.on("pageerror", (error) => complaints.push(`${error}`));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  await page.goto(url);
  return page;
}

const pages = {
  async Shape(wide, narrow) {
    const piece = (page) => page.getByRole("button", { name: "The shape" });
    const { x, y } = await piece(wide).boundingBox();
    await wide.mouse.move(x + 20, y + 20);
    await wide.mouse.down();
    await wide.mouse.move(x + 220, y + 80, { steps: 60 });
    await wide.mouse.up();
    const place = (page) => piece(page).evaluate(({ style }) => `${style.left} ${style.top}`);
    const isThere = (wanted) => {
      const { left, top } = document.getElementById("piece").style;
      return `${left} ${top}` === wanted;
    };
    await narrow.waitForFunction(isThere, await place(wide));
    const moves = (page) => page.locator("#counts").textContent();
    const [sent, received] = [Number.parseInt(await moves(wide), 10), /(\d+) received/.exec(await moves(narrow))[1]];
    assert.ok(sent >= 1 && sent <= 60 && sent === Number(received), `${sent} sent, ${received} received`);
    await piece(narrow).focus();
    await narrow.keyboard.press("ArrowLeft");
    await wide.waitForFunction(isThere, await place(narrow));
  },

  async Ask(wide, narrow) {
    await wide.getByRole("button", { name: "Ask" }).click();
    await narrow.getByLabel("waits for a message of yours").fill("Tea, please");
    await narrow.screenshot({ path: join(screenshots, "ask-asked.png") });
    await narrow.keyboard.press("Enter");
    await wide.getByText("says: Tea, please").waitFor();
  },
};

const wide = await window({ viewport: { width: 900, height: 720 } });
const narrow = await window({ viewport: { width: 380, height: 720 }, colorScheme: "dark" });
for (const [name, use] of Object.entries(pages).filter(([name]) => only === undefined || name === only)) {
  for (const page of [wide, narrow]) {
    await page.goto(url);
    await page.getByRole("link", { name }).click();
    await page.locator("#status[data-state=connected]").waitFor();
  }
  await use(wide, narrow);
  await wide.screenshot({ path: join(screenshots, `${name.toLowerCase()}-wide.png`) });
  await narrow.screenshot({ path: join(screenshots, `${name.toLowerCase()}-narrow.png`) });
  const fits = await narrow.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth);
  assert.ok(fits, `${name}: nothing is wider than a narrow window`);
  assert.equal(await wide.locator("#problem:visible").count(), 0, name);
  console.log(name);
}
await wide.goto(url);
await wide.screenshot({ path: join(screenshots, "index-wide.png") });
assert.deepEqual(complaints, []);
await browser.close();
console.log("done");
