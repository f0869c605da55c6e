// What the hub answers, as far as it needs nothing of the gateway.

export const greet = (name: string): string => `Hello, ${name}!`;

/** From a number down to 1; null if it is none up to 100. */
export const countdown = (from: number): number[] | null =>
  from >= 0 && from <= 100 ? Array.from({ length: from }, (_, at) => from - at) : null;
