// Small values that the gateway keeps: they outlive calls, instances, swaps and restarts. All times to live are in milliseconds;
// without one a value stays, with one of zero or less it is over at once.

import contract from "hubgate:plugin/state@0.1.0";
import { fail } from "./answers.js";
import { imports, timeToLive } from "./imports.js";
import { json } from "./payload.js";

const raw = imports(contract);
const utf8 = { encoder: new TextEncoder(), decoder: new TextDecoder("utf-8", { fatal: true }) };
const milliseconds = (ttlMs) => timeToLive(ttlMs, Number.MAX_SAFE_INTEGER);

/** The value of JSON, or null. */
export function get(key) {
  const bytes = getBytes(key);
  if (bytes === null) return null;
  try {
    return JSON.parse(utf8.decoder.decode(bytes));
  } catch (error) {
    return fail(`state, key '${shortened(key)}': it is not of the expected type: ${error.message}`);
  }
}

export const set = (key, value, ttlMs) => setBytes(key, utf8.encoder.encode(json(value ?? null).val), ttlMs);

/** The bytes, or null. */
export const getBytes = (key) => attempt(key, () => raw.get(key));

export const setBytes = (key, bytes, ttlMs) => attempt(key, () => raw.set(key, bytes, milliseconds(ttlMs)));

/**
 * Keeps the bytes `value`, or with null deletes, only if the present bytes are `expected`, null if there are none; says whether
 * it did.
 */
export function compareAndSet(key, expected, value, ttlMs) {
  for (const bytes of [expected, value]) {
    if (bytes !== null && !(bytes instanceof Uint8Array)) throw new TypeError("state.compareAndSet takes bytes, or null: new TextEncoder().encode(text) makes them of a text");
  }
  return attempt(key, () => raw.compareAndSet(key, expected, value, milliseconds(ttlMs)));
}

const remove = (key) => attempt(key, () => raw.delete(key));
export { remove as delete };

/** Adds, and gives the sum; a missing key counts as 0, and gets the time to live. */
export function increment(key, by = 1, ttlMs = null) {
  if (!Number.isSafeInteger(by)) throw new RangeError(`state.increment adds integers up to 2^53 - 1, as numbers; it was given ${typeof by === "bigint" ? `the BigInt ${by}n` : by}`);
  return attempt(key, () => raw.increment(key, by, milliseconds(ttlMs)));
}

/** Keys in order, some at a time: those that begin with `prefix`, after the key `after`. */
export const keys = (prefix = "", after = null, limit = 1000) => attempt(prefix, () => raw.keys(prefix, after, limit));

/** Puts words to what the gateway says; `error.payload` stays. */
function attempt(key, work) {
  try {
    return work();
  } catch (error) {
    const { tag, val } = error?.payload ?? {};
    if (tag !== undefined) error.message = `state, key '${shortened(key)}': ${CAUSES[tag] ?? val ?? tag}`;
    throw error;
  }
}

const shortened = (key) => `${key}`.slice(0, 64);

/** As the packages of all languages say it. */
const CAUSES = {
  "too-large": "the key or the value is too large",
  quota: "there is no room left (plugins.NAME.state)",
};
