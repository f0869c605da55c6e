// What the handler answers, as far as it needs nothing of the gateway.

/** `null` if there is no name. */
export const greet = (name) => (typeof name === "string" ? `Hello, ${name}!` : null);
