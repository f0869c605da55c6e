// The handler: what clients call, answered.

import state from "hubgate:plugin/state@0.1.0";
import { greet } from "./answers.js";

const json = (value) => ({ tag: "json", val: JSON.stringify(value) });
const reject = (text) => {
  throw { tag: "rejected", val: text };
};

export const lifecycle = { init() {} };

export const upstream = {
  // Call `reject` to refuse the client.
  connected(client) {},

  disconnected(client, reason) {},

  invoke(client, call) {
    const method = methods[call.target];
    if (!method) reject(`there is no method '${call.target}'; 'hello' and 'count' are`);
    return json(method(...JSON.parse(call.arguments.val)));
  },
};

const methods = {
  __proto__: null,

  hello: (name) => greet(name) ?? reject("hello needs a name"),

  // The gateway keeps the number: variables of a plugin may vanish between two calls.
  count: () => state.increment("count", 1, null),
};
