// Waiting for what clients hear.

/** What a callback is called with. */
export function once(register) {
  return new Promise(register);
}

export async function until(condition) {
  while (!condition()) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
