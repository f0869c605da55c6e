// `console`, which writes into the plugin's log.

import log from "hubgate:plugin/log@0.1.0";
import { serves, whenServing } from "./call.js";

const MOST_ITEMS = 100;
const DEEPEST = 4;
const LONGEST = 16384;
/** Lines of a script's top level, which wait for the first call. */
const MOST_WAITING = 100;
let waiting = 0;

function write(level, values) {
  // The log takes UTF-8, which has nothing for half of a surrogate pair; the end may be one, too.
  const text = format(values).slice(0, LONGEST).toWellFormed();
  if (!serves() && waiting++ >= MOST_WAITING) return;
  whenServing(() => log.write(level, text, []));
}

const counts = new Map();

globalThis.console = {
  debug: (...values) => write("debug", values),
  log: (...values) => write("info", values),
  info: (...values) => write("info", values),
  warn: (...values) => write("warn", values),
  error: (...values) => write("error", values),
  dir: (value) => write("info", [inspect(value)]),
  trace: (...values) => write("debug", [`Trace: ${format(values)}${inspectError(new Error()).slice("Error".length)}`]),
  assert: (condition, ...values) => {
    if (!condition) write("error", ["Assertion failed", ...values]);
  },
  count: (label = "default") => {
    counts.set(label, (counts.get(label) ?? 0) + 1);
    write("info", [`${label}: ${counts.get(label)}`]);
  },
};

function format(values) {
  const [first, ...rest] = values;
  if (typeof first !== "string") return values.map(shown).join(" ");
  const text = first.replace(/%[sdifjoOc%]/g, (mark) => {
    if (mark === "%%") return "%";
    if (rest.length === 0) return mark;
    const value = rest.shift();
    switch (mark) {
      case "%s":
        return shown(value);
      case "%d":
      case "%f":
        return typeof value === "bigint" ? `${value}n` : `${Number(typeof value === "symbol" ? NaN : value)}`;
      case "%i":
        return typeof value === "bigint" ? `${value}n` : `${parseInt(typeof value === "symbol" ? NaN : value, 10)}`;
      case "%c":
        return "";
      default:
        return inspect(value);
    }
  });
  return [text, ...rest.map(shown)].join(" ");
}

const shown = (value) => (typeof value === "string" ? value : inspect(value));

/** A value as a script would write it, about. */
function inspect(value, parents = []) {
  switch (typeof value) {
    case "string":
      return JSON.stringify(value);
    case "bigint":
      return `${value}n`;
    case "number":
      return Object.is(value, -0) ? "-0" : String(value);
    case "function":
      return `[Function: ${value.name || "(anonymous)"}]`;
    case "object":
      return value === null ? "null" : inspectObject(value, parents);
    default:
      return String(value);
  }
}

function inspectObject(object, parents) {
  if (parents.includes(object)) return "[Circular]";
  const name = Object.getPrototypeOf(object)?.constructor?.name ?? "Object";
  if (object instanceof Error) return inspectError(object, parents);
  if (object instanceof Date) return isNaN(object) ? "Invalid Date" : object.toISOString();
  if (object instanceof RegExp) return String(object);
  if (parents.length >= DEEPEST) return `[${name}]`;
  const inside = [...parents, object];
  const each = (value) => inspect(value, inside);
  if (Array.isArray(object)) return list("", "[", object, each, "]");
  if (ArrayBuffer.isView(object) && !(object instanceof DataView)) return list(`${name}(${object.length}) `, "[", object, each, "]");
  if (object instanceof Map) return list(`Map(${object.size}) `, "{", object, ([key, value]) => `${each(key)} => ${each(value)}`, "}");
  if (object instanceof Set) return list(`Set(${object.size}) `, "{", object, each, "}");
  const entry = (key) => `${/^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(key) ? key : JSON.stringify(key)}: ${each(object[key])}`;
  return list(name === "Object" ? "" : `${name} `, "{", Object.keys(object), entry, "}");
}

function list(before, open, items, show, close) {
  const shown = [];
  for (const item of items) {
    if (shown.length === MOST_ITEMS) {
      shown.push("…");
      break;
    }
    shown.push(show(item));
  }
  const room = open === "{" && shown.length > 0 ? " " : "";
  return `${before}${open}${room}${shown.join(", ")}${room}${close}`;
}

/** With its stack, but for the lines of the gateway's own. */
export function inspectError(error, parents = []) {
  const lines = typeof error.stack === "string" ? error.stack.trimEnd().split("\n") : [];
  const stack = lines.filter((line) => !/\/\.hubgate-\w+\/(guard|globals)|apply \(native\)/.test(line)).join("\n");
  const cause = error.cause === undefined ? "" : `\n  cause: ${inspect(error.cause, [...parents, error])}`;
  return `${error}${stack === "" ? "" : `\n${stack}`}${cause}`;
}
