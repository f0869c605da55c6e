// The handler: what clients call, answered.

import { handler, state, takes } from "hubgate";
import { greet } from "./answers.ts";

export const { lifecycle, upstream } = handler({
  /** Call `reject` to refuse the client. */
  connected(client) {},

  disconnected(client, reason) {},

  methods: {
    hello: takes(["string"], (client, name) => greet(name)),

    // The gateway keeps the number: variables of a plugin may vanish between two calls.
    count: () => state.increment("count"),
  },
});
