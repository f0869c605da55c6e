// What calls and messages carry.

import { fail } from "./answers.js";

/** A value as a payload of JSON. */
export function json(value) {
  const text = JSON.stringify(value);
  if (text === undefined) fail(`a value that is no JSON: ${String(value)}`);
  return { tag: "json", val: text };
}

/** The bytes of one MessagePack value as a payload. */
export const msgpack = (bytes) => ({ tag: "msgpack", val: bytes });

/** Arguments are an array, which becomes JSON, or a payload, which goes as it is. */
export const argumentsOf = (values) => (Array.isArray(values) || values?.tag === undefined ? json(listed(values)) : values);

function listed(values) {
  if (!Array.isArray(values)) fail("the arguments of a message are an array: hub.sendAll(\"said\", [\"hello\"])");
  return values;
}
