// Handlers: the serverless hub.

import { fail, reject } from "./answers.js";
import { checkParts, done, refusePromise } from "./parts.js";
import { json } from "./payload.js";

export const PARTS = ["init", "connected", "disconnected", "methods", "invoke"];

/**
 * What a script exports that is a handler: `export const { lifecycle, upstream } = handler({ … })`. Variables of a script
 * are a cache that may vanish between two calls: what must stay belongs into `state`.
 */
export function handler(parts) {
  checkParts("handler", parts, PARTS);
  checkParts("handler.methods", parts.methods ?? {}, null);
  return { lifecycle: lifecycle(parts), upstream: upstream(parts, (client) => client) };
}

/** The export `lifecycle` of what may have `init`. */
export const lifecycle = ({ init }) => ({ init: () => void init?.() });

/** The export `upstream` of a handler's parts; `clientOf` makes of a connection what they get. */
export function upstream({ connected, disconnected, methods = {}, invoke }, clientOf) {
  return {
    connected: (client) => done("connected", connected?.(clientOf(client))),
    disconnected: (client, reason) => done("disconnected", disconnected?.(clientOf(client), reason)),
    invoke(client, call) {
      const { target, arguments: payload } = call;
      const method = named(methods, target);
      if (method !== undefined && payload.tag === "json") return answer(target, method.call(methods, clientOf(client), ...JSON.parse(payload.val)));
      if (invoke !== undefined) return invoke(clientOf(client), call) ?? null;
      if (method === undefined) reject(`There is no method '${target}'.`);
      return fail(`'${target}' was called with MessagePack, which \`methods\` do not get: answer it in \`invoke(client, call)\`, or leave the plugin's \`payload\` to be "json"`);
    },
  };
}

/** The method of this name, and none that every object has. */
export const named = (methods, name) => (Object.hasOwn(methods, name) ? methods[name] : undefined);

function answer(method, value) {
  if (value === undefined) return null;
  refusePromise(`the method '${method}'`, value);
  return json(value);
}

/**
 * A method that is called only with arguments of these kinds: "string", "integer" (up to 2^53), "number", "boolean", "object",
 * "array" or "any"; a kind that ends with `?` may be missing or null. Others are refused with a text for the client.
 */
export function takes(kinds, method) {
  checkParts("takes", { method }, null);
  return function checked(client, ...values) {
    checkArguments(kinds, values, nameIn(this, checked));
    return method.call(this, client, ...values);
  };
}

/** Refuses arguments that are not of these kinds. */
export function checkArguments(kinds, values, name) {
  const required = kinds.filter((kind) => !isOptional(kind)).length;
  if (values.length < required || values.length > kinds.length) {
    const number = required === kinds.length ? required : `${required} to ${kinds.length}`;
    reject(`Wrong arguments: ${name} takes ${number}, got ${values.length}.`);
  }
  const wrong = values.findIndex((value, at) => !isOf(kinds[at], value));
  if (wrong !== -1) reject(`Wrong arguments: argument ${wrong + 1} must be ${words(kinds[wrong])}, not ${wordsFor(values[wrong])}.`);
}

/** What clients call a method. */
export const nameIn = (methods, method) => Object.keys(methods ?? {}).find((name) => methods[name] === method) ?? "the method";

const isOptional = (kind) => kind.endsWith("?");
const plainOf = (kind) => kind.replace(/\?$/, "");

function isOf(kind, value) {
  const plain = plainOf(kind);
  if (value === null && isOptional(kind)) return true;
  if (plain === "integer") return Number.isSafeInteger(value);
  return plain === "any" || kindOf(value) === plain;
}

function kindOf(value) {
  if (value === null) return "null";
  return Array.isArray(value) ? "array" : typeof value;
}

/** As the packages of all languages say it. */
const WORDS = {
  string: "a string",
  integer: "an integer",
  number: "a number",
  boolean: "true or false",
  array: "a list",
  object: "an object",
  null: "null",
  bigint: "an integer beyond 2^53",
};

const words = (kind) => `${WORDS[plainOf(kind)]}${isOptional(kind) ? " or null" : ""}`;
const wordsFor = (value) => WORDS[Number.isInteger(value) ? "integer" : kindOf(value)];
