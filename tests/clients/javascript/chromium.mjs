// Headless Chromium, for the scripts that use pages as people do.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

/** What one step on a page may take, in milliseconds, on a machine where much else runs. */
export const STEP = 120_000;

const OPTIONS = {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  // Its program alone has hundreds of megabytes, which may have to be read from the disk first.
  timeout: 2 * STEP,
};
const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** A browser whose windows share nothing but its process. */
export function launch() {
  return chromium.launch({ ...OPTIONS, args: ARGUMENTS });
}

/** A browser of its own, with a profile that nobody else has: the context of its pages, and how both end. */
export async function launchWithProfile({ args = [], ...options } = {}) {
  const profile = mkdtempSync(join(tmpdir(), "hubgate-browser-"));
  const context = await chromium.launchPersistentContext(profile, { ...OPTIONS, args: [...ARGUMENTS, ...args], ...options });
  context.setDefaultTimeout(STEP);
  return {
    context,
    async end() {
      await context.close();
      // Its processes may write to it for another moment.
      rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
    },
  };
}
