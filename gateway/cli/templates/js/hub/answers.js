// What the hub answers, as far as it needs nothing of the gateway.

/** `null` if there is no name. */
export const greet = (name) => (typeof name === "string" ? `Hello, ${name}!` : null);

/** From a number down to 1; `null` if it is none up to 100. */
export const countdown = (from) => (from >= 0 && from <= 100 ? Array.from({ length: from }, (_, at) => from - at) : null);
