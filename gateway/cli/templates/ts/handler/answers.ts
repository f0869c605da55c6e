// What the handler answers, as far as it needs nothing of the gateway.

export const greet = (name: string): string => `Hello, ${name}!`;
