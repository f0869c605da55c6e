// Handlers: the serverless hub.

import { fail, reject } from "./answers.js";
import { checkParts } from "./parts.js";
import { json } from "./payload.js";

const PARTS = ["init", "connected", "disconnected", "methods", "invoke"];

/**
 * What a script exports that is a handler: `export const { lifecycle, upstream } = handler({ … })`. Variables of a script
 * are a cache that may vanish between two calls: what must stay belongs into `state`.
 */
export function handler(parts) {
  const { init, connected, disconnected, methods = {}, invoke } = parts;
  checkParts("handler", parts, PARTS);
  checkParts("handler.methods", methods, null);
  return {
    lifecycle: { init: () => void init?.() },
    upstream: {
      connected: (client) => done("connected", connected?.(client)),
      disconnected: (client, reason) => done("disconnected", disconnected?.(client, reason)),
      invoke(client, call) {
        const { target, arguments: payload } = call;
        const method = Object.hasOwn(methods, target) ? methods[target] : undefined;
        if (method !== undefined && payload.tag === "json") return answer(target, method.call(methods, client, ...JSON.parse(payload.val)));
        if (invoke !== undefined) return invoke(client, call) ?? null;
        if (method === undefined) reject(`There is no method '${target}'.`);
        return fail(`'${target}' was called with MessagePack, which \`methods\` do not get: answer it in \`invoke(client, call)\`, or leave the plugin's \`payload\` to be "json"`);
      },
    },
  };
}

function answer(method, value) {
  if (value === undefined) return null;
  refusePromise(`the method '${method}'`, value);
  return json(value);
}

function done(event, value) {
  refusePromise(`\`${event}\``, value);
}

function refusePromise(place, value) {
  if (typeof value?.then === "function") fail(`${place} has answered with a promise, and nobody waits for it: answer at once, without async`);
}

/**
 * A method that is called only with arguments of these kinds: "string", "integer" (up to 2^53), "number", "boolean", "object",
 * "array" or "any"; a kind that ends with `?` may be missing or null. Others are refused with a text for the client.
 */
export function takes(kinds, method) {
  checkParts("takes", { method }, null);
  const required = kinds.filter((kind) => !isOptional(kind)).length;
  return function checked(client, ...values) {
    if (values.length < required || values.length > kinds.length) {
      const number = required === kinds.length ? required : `${required} to ${kinds.length}`;
      reject(`Wrong arguments: ${nameIn(this, checked)} takes ${number}, got ${values.length}.`);
    }
    const wrong = values.findIndex((value, at) => !isOf(kinds[at], value));
    if (wrong !== -1) reject(`Wrong arguments: argument ${wrong + 1} must be ${words(kinds[wrong])}, not ${wordsFor(values[wrong])}.`);
    return method.call(this, client, ...values);
  };
}

/** What clients call a method. */
const nameIn = (methods, method) => Object.keys(methods ?? {}).find((name) => methods[name] === method) ?? "the method";

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
