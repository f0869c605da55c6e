// Headless Chromium, for the scripts that use pages as people do.

import { chromium } from "playwright-core";

/** What one step on a page may take, in milliseconds, on a machine where much else runs. */
export const STEP = 60_000;

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

/** A browser of its own, with a profile in this folder. */
export function launchWithProfile(profile, { args = [], ...options } = {}) {
  return chromium.launchPersistentContext(profile, { ...OPTIONS, args: [...ARGUMENTS, ...args], ...options });
}
