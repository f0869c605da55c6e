// Act later: the hub's `fired(hub, timer, payload)` is called when a timer is due. All times are in milliseconds.

import contract from "hubgate:plugin/timers@0.1.0";
import { imports } from "./imports.js";
import { json } from "./payload.js";

const raw = imports(contract);
const utf8 = { encoder: new TextEncoder(), decoder: new TextDecoder("utf-8", { fatal: true }) };

/** Once, so long from now. */
export const after = (name, ms, payload, options) => set(name, "after", ms, payload, options);

/** Once, at a time since 1970 as `context.now()` and `Date` have it. */
export const at = (name, time, payload, options) => set(name, "at", +time, payload, options);

/** Again and again; missed times count once. */
export const every = (name, ms, payload, options) => set(name, "every", ms, payload, options);

/** Takes a timer back; says whether there was one. */
export const cancel = (name) => attempt(name, () => raw.cancel(name));

/** Timers by name, some at a time: those after `after`. */
export function list(after = null, limit = 1000) {
  const timers = attempt(after ?? "", () => raw.list(after, limit));
  return timers.map(({ name, when, due, payload, durable }) => ({ name, [when.tag]: when.val, due, payload: valueOf(payload), durable }));
}

/** A timer in the place of the one with that name, if there is one. */
function set(name, kind, time, payload, { durable = false } = {}) {
  if (!Number.isFinite(time)) throw new RangeError(`timers.${kind} takes a finite number of milliseconds, not ${time}`);
  const when = { tag: kind, val: Math.min(Math.max(0, Math.ceil(time)), Number.MAX_SAFE_INTEGER) };
  const bytes = payload === undefined ? new Uint8Array() : utf8.encoder.encode(json(payload).val);
  attempt(name, () => raw.set(name, when, bytes, durable));
}

/** What a timer was given; bytes that are no JSON stay bytes. */
export function valueOf(bytes) {
  if (bytes.length === 0) return undefined;
  try {
    return JSON.parse(utf8.decoder.decode(bytes));
  } catch {
    return bytes;
  }
}

/** Puts words to what the gateway says; `error.payload` stays. */
function attempt(name, work) {
  try {
    return work();
  } catch (error) {
    const { tag, val } = error?.payload ?? {};
    if (tag !== undefined) error.message = `timer '${`${name}`.slice(0, 64)}': ${CAUSES[tag] ?? val ?? tag}`;
    throw error;
  }
}

/** As the packages of all languages say it. */
const CAUSES = {
  "too-many": "the plugin has as many timers as it may have (plugins.NAME.timers)",
  "too-short": "its period is shorter than the plugin's may be (plugins.NAME.shortest-period)",
  "too-large": "its name or its payload is too large",
};
