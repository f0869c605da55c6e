// What scripts give to `handler` and `filter`, looked at once, when the component is built.

const AsyncFunction = (async () => {}).constructor;

/** Throws where something is misspelt, no function, or async. */
export function checkParts(place, parts, known) {
  for (const [name, part] of Object.entries(parts)) {
    if (known !== null && !known.includes(name)) throw new Error(`\`${place}\` has no \`${name}\`: it takes ${known.join(", ")}`);
    if (part === undefined || name === "methods") continue;
    if (typeof part !== "function") throw new Error(`\`${place}\`: \`${name}\` is no function`);
    if (part instanceof AsyncFunction) {
      throw new Error(`\`${place}\`: \`${name}\` is async, and nobody waits for it: the gateway wants the answer at once. Make it a plain function; the imports need no await`);
    }
  }
}
