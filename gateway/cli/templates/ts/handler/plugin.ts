// The handler: what clients call, answered.

import state from "hubgate:plugin/state@0.1.0";
import type { Call, Connection, Payload, PluginError } from "hubgate:plugin/types@0.1.0";
import { greet } from "./answers.ts";

const json = (value: unknown): Payload => ({ tag: "json", val: JSON.stringify(value) });

function reject(text: string): never {
  throw { tag: "rejected", val: text } satisfies PluginError;
}

export const lifecycle = { init(): void {} };

export const upstream = {
  /** Call `reject` to refuse the client. */
  connected(client: Connection): void {},

  disconnected(client: Connection, reason: string | null): void {},

  invoke(client: Connection, call: Call): Payload | null {
    if (call.arguments.tag !== "json") throw { tag: "failed", val: "this plugin reads JSON" } satisfies PluginError;
    const values: unknown[] = JSON.parse(call.arguments.val);
    switch (call.target) {
      case "hello":
        return json(greet(values[0]) ?? reject("hello needs a name"));
      case "count":
        // The gateway keeps the number: variables of a plugin may vanish between two calls.
        return json(state.increment("count", 1, null));
      default:
        return reject(`there is no method '${call.target}'; 'hello' and 'count' are`);
    }
  },
};
