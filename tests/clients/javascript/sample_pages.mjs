// A page of examples/hubs in headless Chromium, in two windows.
//
//   node sample_pages.mjs SAMPLE URL SCREENSHOTS

import assert from "node:assert/strict";
import { join } from "node:path";
import { STEP, launch } from "./chromium.mjs";

const [sample, url, screenshots] = process.argv.slice(2);
const browser = await launch();
const complaints = [];

async function window(options) {
  const page = await (await browser.newContext(options)).newPage();
  page.setDefaultTimeout(STEP);
  page.on("pageerror", (error) => complaints.push(`${error}`));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  await page.goto(url);
  return page;
}

const pages = {
  async chat(wide, narrow) {
    for (const [page, name] of [[wide, "Ann"], [narrow, "Bob"]]) {
      await page.getByLabel("Your name").fill(name);
      await page.keyboard.press("Enter");
      await page.getByRole("button", { name: "lobby", pressed: true }).waitFor();
      await page.keyboard.type(`Hello from ${name}`);
      await page.keyboard.press("Enter");
    }
    for (const page of [wide, narrow]) {
      await page.getByText("Here: Ann, Bob").waitFor();
      for (const name of ["Ann", "Bob"]) await page.getByText(`Hello from ${name}`).waitFor();
    }
    await narrow.getByRole("button", { name: "garden" }).click();
    await wide.getByText("Here: Ann", { exact: true }).waitFor();
    await narrow.getByRole("button", { name: "lobby" }).click();
    await narrow.getByText("Hello from Ann").waitFor();
    await wide.getByText("Here: Ann, Bob").waitFor();
  },

  async ticker(wide, narrow) {
    await wide.getByRole("button", { name: "Open" }).click();
    for (const page of [wide, narrow]) {
      await page.getByText("The market is open").waitFor();
      await page.locator("td.up, td.down").first().waitFor();
      // Each price that came is a point of the line.
      await page.waitForFunction(() => document.querySelector("polyline").getAttribute("points").split(" ").length > 8);
    }
  },

  async shape(wide, narrow) {
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

  async upload(wide, narrow) {
    for (const page of [wide, narrow]) {
      const file = (name, bytes) => ({ name, mimeType: "application/octet-stream", buffer: Buffer.alloc(bytes, name) });
      await page.getByLabel("Choose files").setInputFiles([file("photo.jpg", 300_000), file("notes.txt", 1_234)]);
      await page.getByText("300,000 bytes arrived").waitFor();
      await page.getByText("1,234 bytes arrived").waitFor();
      assert.equal(await page.locator("progress").last().evaluate(({ position }) => position), 1);
    }
  },

  async ask(wide, narrow) {
    await wide.getByRole("button", { name: "Ask" }).click();
    await narrow.getByLabel("waits for a message of yours").fill("Tea, please");
    await narrow.screenshot({ path: join(screenshots, "ask-asked.png") });
    await narrow.keyboard.press("Enter");
    await wide.getByText("says: Tea, please").waitFor();
  },
};

const wide = await window({ viewport: { width: 900, height: 720 } });
const narrow = await window({ viewport: { width: 380, height: 720 }, colorScheme: "dark" });
for (const page of [wide, narrow]) {
  await page.locator(`a[href="${sample}.html"]`).click();
  await page.locator("#status[data-state=connected]").waitFor();
}
await pages[sample](wide, narrow);
await wide.screenshot({ path: join(screenshots, `${sample}-wide.png`) });
await narrow.screenshot({ path: join(screenshots, `${sample}-narrow.png`) });
const fits = await narrow.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth);
assert.ok(fits, "nothing is wider than a narrow window");
assert.equal(await wide.locator("#problem:visible").count(), 0);
assert.deepEqual(complaints, []);
await browser.close();
console.log("done");
