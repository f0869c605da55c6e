// Small values that the gateway keeps: they outlive calls, instances, swaps and restarts. All times to live are in milliseconds;
// without one a value stays.

import raw from "hubgate:plugin/state@0.1.0";

const utf8 = { encoder: new TextEncoder(), decoder: new TextDecoder("utf-8", { fatal: true }) };

/** The value of JSON, or null. */
export function get(key) {
  const bytes = getBytes(key);
  return bytes === null ? null : parsed(key, bytes);
}

export const set = (key, value, ttlMs) => setBytes(key, encoded(value), ttlMs);

/**
 * Sets the value only if the present one is `expected`, null if there is none; says whether it did. A `value` of null deletes.
 */
export function compareAndSet(key, expected, value, ttlMs) {
  // The same value may have been written with other spaces.
  const present = getBytes(key);
  const text = present === null ? null : JSON.stringify(parsed(key, present));
  const expectedText = expected === null ? null : JSON.stringify(expected);
  return text === expectedText && compareAndSetBytes(key, present, value === null ? null : encoded(value), ttlMs);
}

/** The bytes, or null. */
export const getBytes = (key) => attempt("get", key, () => raw.get(key));

export const setBytes = (key, bytes, ttlMs = null) => attempt("set", key, () => raw.set(key, bytes, ttlMs));

export function compareAndSetBytes(key, expected, bytes, ttlMs = null) {
  return attempt("compareAndSet", key, () => raw.compareAndSet(key, expected, bytes, ttlMs));
}

const remove = (key) => attempt("delete", key, () => raw.delete(key));
export { remove as delete };

/** Adds, and gives the sum; a missing key counts as 0, and gets the time to live. */
export function increment(key, by = 1, ttlMs = null) {
  if (!Number.isSafeInteger(by)) throw new RangeError(`state.increment adds integers up to 2^53 - 1, as numbers; it was given ${typeof by === "bigint" ? `the BigInt ${by}n` : by}`);
  return attempt("increment", key, () => raw.increment(key, by, ttlMs));
}

/** Keys in order, some at a time: those that begin with `prefix`, after the key `after`. */
export const keys = (prefix = "", after = null, limit = 1000) => attempt("keys", prefix, () => raw.keys(prefix, after, limit));

const encoded = (value) => utf8.encoder.encode(JSON.stringify(value ?? null));

function parsed(key, bytes) {
  try {
    return JSON.parse(utf8.decoder.decode(bytes));
  } catch {
    throw new TypeError(`state.get("${key}"): what is kept there is no JSON; getBytes gives its bytes`);
  }
}

/** Puts a name to what the gateway says; `error.payload` stays. */
function attempt(name, key, work) {
  try {
    return work();
  } catch (error) {
    const { tag, val } = error?.payload ?? {};
    if (tag !== undefined) error.message = `state.${name}: ${CAUSES[tag] ?? tag}${val === undefined ? "" : `: ${val}`}; of the key "${key.slice(0, 64)}"`;
    throw error;
  }
}

const CAUSES = {
  "too-large": "the key is longer than 1 KiB, or the value larger than 1 MiB",
  quota: "the plugin's values together would be larger than its setting `state` allows",
};
