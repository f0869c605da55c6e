// Filters: a look at what clients say, and at what they are sent.

import { fail } from "./answers.js";
import { lifecycle } from "./handler.js";
import { checkParts } from "./parts.js";
import { json } from "./payload.js";

/**
 * What a script exports that is a filter: `export const { lifecycle, inboundFilter, outboundFilter } = filter({ … })`.
 * `inbound(client, message)` and `outbound(delivery, message)` give nothing to let a message pass, or another `Message` in its
 * place, or end with `reject`, `drop` or `close`.
 */
export function filter(parts) {
  const { inbound, outbound } = parts;
  checkParts("filter", parts, ["init", "inbound", "outbound"]);
  return {
    lifecycle: lifecycle(parts),
    inboundFilter: { inspect: (client, raw) => verdict("inbound", inbound, client, raw) },
    outboundFilter: { inspect: (delivery, raw) => verdict("outbound", outbound, delivery, raw) },
  };
}

const PASS = { tag: "pass" };

function verdict(half, look, source, raw) {
  if (look === undefined) return PASS;
  const message = new Message(raw);
  let answer;
  try {
    answer = look(source, message);
  } catch (error) {
    if (error?.tag === "rejected") return { tag: "reject", val: error.val };
    if (error?.tag === "drop" || error?.tag === "close") return error;
    if (error?.tag === "failed") throw error.val;
    throw error;
  }
  if (answer === undefined || answer === null || answer === message) return PASS;
  if (answer instanceof Message) return { tag: "replace", val: answer.raw };
  // The contract's own verdicts.
  if (typeof answer.tag === "string") return answer;
  throw `\`${half}\` has given ${typeof answer.then === "function" ? "a promise" : "what is no verdict"}: give nothing to let the message pass, or what \`message.replace\` gives`;
}

/** A message on its way. It does not change; `replace` and `mapTexts` make another one. */
export class Message {
  #raw;

  constructor(raw) {
    this.#raw = raw;
  }

  /** As the contract has it. */
  get raw() {
    return this.#raw;
  }

  /** "invocation", "stream-invocation", "stream-item" or "completion". */
  get kind() {
    return this.#raw.kind;
  }

  /** The method of a call, or null. */
  get target() {
    return this.#raw.target;
  }

  /** The error of a completion, or null. */
  get error() {
    return this.#raw.error;
  }

  /** The arguments of a call (an array), an item, or a result; undefined for a completion without one. */
  get value() {
    const { content } = this.#raw;
    if (content === null) return undefined;
    if (content.tag !== "json") fail("the message is MessagePack: read the bytes of `message.raw.content`, or leave the plugin's `payload` to be \"json\"");
    return JSON.parse(content.val);
  }

  /** The message with another target, value or error. */
  replace(changes) {
    const { value, ...rest } = changes;
    return new Message({ ...this.#raw, ...rest, ...("value" in changes ? { content: json(value) } : {}) });
  }

  /** The message with each text of its value and its error (not the names of fields) as `change` gives it; itself if none changes. */
  mapTexts(change) {
    const { content, error } = this.#raw;
    let isChanged = false;
    const changed = (text) => {
      const result = change(text);
      isChanged ||= result !== text;
      return result;
    };
    const value = content?.tag === "json" ? mapTexts(JSON.parse(content.val), changed) : undefined;
    const newError = error === null ? null : changed(error);
    if (!isChanged) return this;
    return new Message({ ...this.#raw, content: value === undefined ? content : json(value), error: newError });
  }
}

function mapTexts(value, change) {
  if (typeof value === "string") return change(value);
  if (Array.isArray(value)) return value.map((item) => mapTexts(item, change));
  if (typeof value !== "object" || value === null) return value;
  // `fromEntries` makes fields of their own, `__proto__` too.
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, mapTexts(item, change)]));
}
