// What scripts give to `handler`, `filter` and the like, looked at once, when the component is built.

import { fail } from "./answers.js";

const AsyncFunction = (async () => {}).constructor;
const GeneratorFunction = (function* () {}).constructor;
const AsyncGeneratorFunction = (async function* () {}).constructor;
/** Parts that have parts. */
const GROUPS = ["methods", "streams"];

/** Throws where something is misspelt, no function, or async. */
export function checkParts(place, parts, known) {
  for (const [name, part] of Object.entries(parts)) {
    if (known !== null && !known.includes(name)) throw new Error(`\`${place}\` has no \`${name}\`: it takes ${known.join(", ")}`);
    if (part === undefined || (known !== null && GROUPS.includes(name))) continue;
    if (typeof part !== "function") throw new Error(`\`${place}\`: \`${name}\` is no function`);
    if (part instanceof AsyncFunction || part instanceof AsyncGeneratorFunction) {
      throw new Error(`\`${place}\`: \`${name}\` is async, and nobody waits for it: the gateway wants the answer at once. Make it a plain function; the imports need no await`);
    }
    if (part instanceof GeneratorFunction) {
      throw new Error(`\`${place}\`: \`${name}\` is a generator, and nobody takes what it yields: make it a plain function; in a streaming method, \`stream.push(item)\` sends an item`);
    }
  }
}

/** Fails where an answer is a promise. */
export function refusePromise(place, value) {
  if (typeof value?.then === "function") fail(`${place} has answered with a promise, and nobody waits for it: answer at once, without async`);
}

/** The end of an event that has no answer. */
export function done(event, value) {
  refusePromise(`\`${event}\``, value);
}
