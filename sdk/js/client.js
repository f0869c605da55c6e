// Whom an event is about, and what can be asked of a client.

import contract from "hubgate:plugin/client-results@0.1.0";
import { imports } from "./imports.js";
import { argumentsOf } from "./payload.js";

const raw = imports(contract);
const LONGEST_MS = 2 ** 32 - 1;

/** As the packages of all languages say it. */
const CAUSES = {
  "no-such-connection": "The connection does not exist.",
  "timed-out": "The client did not answer in time.",
  left: "The client left before it answered.",
  busy: "Too many wait for answers of clients; try again later.",
};

/** A client has not answered. A method that does not catch it is refused with its text, which the caller is told. */
export class AskError extends Error {
  name = "AskError";
  tag = "rejected";

  /** `payload` is the contract's own error. */
  constructor(payload) {
    super(CAUSES[payload.tag] ?? payload.val);
    this.payload = payload;
    this.val = this.message;
  }
}

/** A connection. */
export class Client {
  constructor({ hub, id, userId }) {
    this.hub = hub;
    this.id = id;
    this.userId = userId;
  }

  /** Calls a method of the client, and waits for what it answers. */
  ask(method, values, options) {
    return ask(this, method, values, options);
  }
}

/**
 * Calls a method of one client, a `Client` or the id of a connection, and waits for what it answers; undefined if that is no
 * value. Without `timeoutMs` it waits as long as the plugin's `ask-time`, which bounds every wait.
 */
export function ask(client, method, values = [], { timeoutMs = null } = {}) {
  if (timeoutMs !== null && !(timeoutMs > 0)) throw new RangeError(`ask waits for a number of milliseconds above zero, not ${timeoutMs}`);
  const connection = typeof client === "string" ? client : client.id;
  let answer;
  try {
    answer = raw.ask(connection, method, argumentsOf(values), Math.min(Math.ceil(timeoutMs ?? 0), LONGEST_MS));
  } catch (error) {
    throw error?.payload?.tag === undefined ? error : new AskError(error.payload);
  }
  if (answer === null) return undefined;
  return answer.tag === "json" ? JSON.parse(answer.val) : answer;
}
