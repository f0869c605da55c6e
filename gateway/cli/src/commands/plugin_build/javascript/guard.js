// What the gateway's build runs before a script, and puts around what it exports.

import log from "hubgate:plugin/log@0.1.0";
import "./globals/index.js";
import { inspectError } from "./globals/console.js";
import { begin, forgetMicrotasks, runMicrotasks } from "./globals/call.js";

const { parse, rawJSON } = JSON;
const SIXTEEN_DIGITS = /\d{16}/;
const INTEGER = /^-?\d+$/;

/** Integers that a number would lose digits of are BigInts, here and on their way back. */
JSON.parse = function (text, ...reviver) {
  const exact = (key, value, { source }) =>
    typeof value === "number" && !Number.isSafeInteger(value) && INTEGER.test(source) ? BigInt(source) : value;
  return reviver.length === 0 && SIXTEEN_DIGITS.test(text) ? parse(text, exact) : parse(text, ...reviver);
};
BigInt.prototype.toJSON = function () {
  return rawJSON(String(this));
};

const AsyncFunction = (async () => {}).constructor;
const AsyncGeneratorFunction = (async function* () {}).constructor;

const isOf = (tags, error) => tags.includes(error?.tag);
/** An error of the contract's type `error`. */
const asError = (error) => (isOf(["rejected", "failed"], error) ? { tag: error.tag, val: error.val } : { tag: "failed", val: words(error) });
const asText = (error) => words(isOf(["rejected", "failed"], error) ? error.val : error);
const asRefusal = (error) => (isOf(["unauthorized", "forbidden", "failed"], error) ? error : { tag: "failed", val: asText(error) });
/** Of a function that has no error: one of the script's breaks the call off. */
const breaksOff = null;

/** The functions of each half of a component, and how an error of the script's becomes one of the contract's. */
const contract = {
  __proto__: null,
  lifecycle: { init: asText },
  upstream: { connected: asError, disconnected: asError, invoke: asError },
  upstreamStreams: { begin: asError, writable: breaksOff, cancelled: breaksOff, item: asError, ended: asError },
  scheduled: { fired: asText },
  presenceEvents: { changed: asText },
  hubLifetime: { started: asText },
  authorizer: { authorize: asRefusal },
  inboundFilter: { inspect: breaksOff },
  outboundFilter: { inspect: breaksOff },
};
/** What of the package makes the exports of a world. */
const makers = {
  __proto__: null,
  handler: "export const { lifecycle, upstream } = handler({ … })",
  "whole-hub": "export default wholeHub({ … })",
  negotiator: "export const { lifecycle, authorizer } = negotiator({ … })",
  "filter-inbound": "export const { lifecycle, inboundFilter } = filter({ … })",
  "filter-outbound": "export const { lifecycle, outboundFilter } = filter({ … })",
  filter: "export const { lifecycle, inboundFilter, outboundFilter } = filter({ … })",
};

/** What the script exports: by name, or all of it as its default. */
export function exportsOf(script) {
  const whole = script.default;
  return typeof whole === "object" && whole !== null && Object.keys(whole).some((name) => name in contract) ? whole : script;
}

function words(error) {
  if (typeof error === "string") return error;
  if (typeof error?.tag === "string") return [error.tag, error.val].filter((part) => part !== undefined).map(words).join(": ");
  return JSON.stringify(error) ?? String(error);
}

/** What scripts ask for that is nowhere in a component, and what there is instead. */
const absent = [
  [/\b(setTimeout|setInterval|setImmediate)\b/, "a call is over when its function returns, and nothing runs between calls: a whole hub sets `timers` of \"hubgate/whole-hub\", and has its `fired` called"],
  [/\b(fetch|XMLHttpRequest|WebSocket)\b/, "HTTP goes through the interface `http`, `send` of \"hubgate/http\", in a world whose name ends with \"-with-http\""],
  [/\b(require|module|exports)\b/, "modules are ES modules: import and export them"],
  [/\b(process|Buffer|__dirname|__filename)\b/, "this is not Node.js: settings come from `config`, bytes are Uint8Arrays, texts become bytes by TextEncoder"],
  [/\b(window|document|localStorage)\b/, "this is no browser: what lasts is in `state`"],
];

function explained(error) {
  const cure = error instanceof ReferenceError ? absent.find(([name]) => name.test(error.message))?.[1] : undefined;
  if (cure !== undefined) error.message += `: ${cure}`;
  return error;
}

const failure = (made, place, error) => wellFormed(made?.(error) ?? broken(place, words(error)));

/** Logs an error that nothing has caught; gives what breaks the call off. */
function broken(place, text) {
  // The gateway's own line about the call is the one error of it.
  log.write("warn", `\`${place}\` has thrown ${text}`.toWellFormed(), []);
  const short = new Error(`\`${place}\` has thrown an error, which the line before shows`);
  short.stack = "";
  return short;
}

/** Throws where the script does not export all that the halves of its world need: every call would break off. */
export function check(script, world, halves) {
  const wrong = halves.flatMap((half) => missing(script, half));
  if (wrong.length === 0) return;
  const maker = makers[world.replace(/-with-http$/, "")];
  throw new Error(`the script cannot serve in the world "${world}":\n${wrong.join("\n")}${otherWorld(script, world)}\nit needs: ${maker}`);
}

/** What of one half is not there, a line for each. */
function missing(script, half) {
  const functions = script[half];
  const exported = Object.keys(script);
  const unknown = exported.filter((name) => !(name in contract));
  if (functions === undefined) return [`there is no export \`${half}\`: ${has(exported, half, "the script exports", unknown)}`];
  const wanted = Object.keys(contract[half]);
  if (typeof functions !== "object" || functions === null) return [`\`${half}\` is no object with the functions ${wanted.join(", ")}`];
  const names = functionNames(functions);
  const absent = wanted.filter((name) => typeof functions[name] !== "function");
  // What is right is not what was misspelt.
  const others = names.filter((name) => !wanted.includes(name));
  return absent.map((name) => `\`${half}\` has no function \`${name}\`: ${has(names, name, "it has", others)}`);
}

/** The names of an object's functions, and of those of its class. */
function functionNames(functions) {
  const names = new Set();
  for (let object = functions; object && object !== Object.prototype; object = Object.getPrototypeOf(object)) {
    for (const name of Object.getOwnPropertyNames(object)) {
      if (name !== "constructor" && typeof functions[name] === "function") names.add(name);
    }
  }
  return [...names];
}

/** What there is instead, and which of `candidates` was most likely meant. */
function has(names, wanted, what, candidates) {
  const alike = candidates.find((name) => isAlike(name, wanted));
  const list = names.length === 0 ? "nothing" : names.map((name) => `\`${name}\``).join(", ");
  return `${what} ${list}${alike === undefined ? "" : `; did you mean to name \`${alike}\` \`${wanted}\`?`}`;
}

/** Whether two names differ by a letter in four at most, whatever their case and hyphens. */
function isAlike(one, other) {
  const [a, b] = [one, other].map((name) => name.toLowerCase().replace(/[-_]/g, ""));
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length] <= Math.max(1, Math.floor(b.length / 4));
}

/** The world that the script's exports are those of, if it is another one. */
function otherWorld(script, world) {
  const gives = (half) => half in script;
  const http = world.endsWith("-with-http") ? "-with-http" : "";
  const filter = gives("inboundFilter") && gives("outboundFilter") ? `filter${http}` : gives("inboundFilter") ? "filter-inbound" : gives("outboundFilter") ? "filter-outbound" : world;
  const fitting = gives("upstreamStreams") ? `whole-hub${http}` : gives("upstream") ? `handler${http}` : gives("authorizer") ? `negotiator${http}` : filter;
  if (fitting === world) return "";
  return `\nwhat it exports is for the world "${fitting}": did you mean "hubgate": { "world": "${fitting}" } in package.json?`;
}

/** One half of what the script exports, with a word about what could not work. */
export function guard(script, half) {
  const functions = script[half];
  const guarded = {};
  for (const [name, made] of Object.entries(contract[half])) {
    const handle = functions[name];
    const place = `${half}.${name}`;
    if (handle instanceof AsyncFunction || handle instanceof AsyncGeneratorFunction) {
      throw new Error(`\`${place}\` is async, and nobody waits for it: the gateway wants the answer at once. Make it a plain function; the imports need no await`);
    }
    guarded[name] = (...values) => call(made, place, () => handle.apply(functions, values));
  }
  return guarded;
}

/** What the contract says of an error of an import; where the SDK has said it better, its words. */
const sayings = ({ message, payload }) => (message.endsWith("(see error.payload)") ? payload : message);

/** `made` makes the contract's errors of the script's. */
function call(made, place, handle) {
  let answer;
  try {
    begin();
    answer = handle();
    runMicrotasks();
  } catch (error) {
    forgetMicrotasks();
    // Errors of imports are Errors with what the contract says of them; some end a call as one of the contract's own.
    if (error instanceof Error && error.payload === undefined) throw broken(place, inspectError(explained(error)));
    throw failure(made, place, error instanceof Error && error.tag === undefined ? sayings(error) : error);
  }
  if (typeof answer?.then === "function") {
    throw failure(made, place, `\`${place}\` has answered with a promise, and nobody waits for it: answer at once, without async`);
  }
  return wellFormed(answer);
}

/** What a script has answered, with U+FFFD for each half of a surrogate pair: UTF-8 has nothing for it. */
function wellFormed(value) {
  if (typeof value === "string") return value.toWellFormed();
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value) || value instanceof Error) return value;
  if (Array.isArray(value)) return value.map(wellFormed);
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, wellFormed(item)]));
}
