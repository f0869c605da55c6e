// The handler: what clients call, answered.

import { handler, reject, state } from "hubgate";
import { greet } from "./answers.js";

export const { lifecycle, upstream } = handler({
  // Call `reject` to refuse the client.
  connected(client) {},

  disconnected(client, reason) {},

  methods: {
    hello: (client, name) => greet(name) ?? reject("hello needs a name"),

    // The gateway keeps the number: variables of a plugin may vanish between two calls.
    count: () => state.increment("count"),
  },
});
