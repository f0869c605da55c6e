// Answers that end a call, or the look at a message, where they are said: each of these functions throws.

/** Refuses: the client sees the text. */
export function reject(text) {
  throw { tag: "rejected", val: `${text}` };
}

/** Gives up: the log gets the text, and the client is told that it did not work. */
export function fail(text) {
  throw { tag: "failed", val: `${text}` };
}

/** Of a filter: nobody gets the message. Who waits for an answer gets an error. */
export function drop() {
  throw { tag: "drop" };
}

/** Of a filter: nobody gets the message, and the connection is closed with the text. */
export function close(text) {
  throw { tag: "close", val: `${text}` };
}
