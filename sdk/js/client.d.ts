import type { AskError as AskErrorOfContract } from "hubgate:plugin/client-results@0.1.0";
import type { Connection } from "hubgate:plugin/types@0.1.0";
import type { Arguments } from "./hub.js";

export interface AskOptions {
  /** The plugin's `ask-time` if not said, which bounds every wait. */
  timeoutMs?: number;
}

/** A client has not answered. A method that does not catch it is refused with its text, which the caller is told. */
export class AskError extends Error {
  constructor(payload: AskErrorOfContract);
  /** The contract's own error. */
  readonly payload: AskErrorOfContract;
}

/** A connection, which can be asked. */
export class Client implements Connection {
  constructor(connection: Connection);
  readonly hub: string;
  readonly id: string;
  readonly userId: string | null;
  /** Calls a method of the client, and waits for what it answers; undefined if that is no value. Throws an `AskError`. */
  ask<Answer = any>(method: string, values?: Arguments, options?: AskOptions): Answer;
}

/**
 * Calls a method of one client, a `Client` or the id of a connection, and waits for what it answers; undefined if that is no
 * value. The time does not count towards the plugin's `call-time`. Throws an `AskError`.
 */
export function ask<Answer = any>(client: Connection | string, method: string, values?: Arguments, options?: AskOptions): Answer;
