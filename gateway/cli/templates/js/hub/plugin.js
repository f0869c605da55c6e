// The hub: what clients call and stream, and what it does by itself.

import { hub, reject, state, timers, wholeHub } from "hubgate/whole-hub";
import { countdown, greet } from "./answers.js";

export default wholeHub({
  methods: {
    hello: (client, name) => greet(name) ?? reject("hello needs a name"),

    // The gateway keeps the number: variables of a plugin may vanish between two calls.
    count: () => state.increment("count"),

    // The caller hears `reminded` with the text, so many milliseconds later.
    remind: (client, ms, text) => timers.after(`remind/${client.id}`, ms, { to: client.id, text }),
  },

  streams: {
    countdown(client, stream, from) {
      stream.pushAll(countdown(from) ?? reject("countdown needs a number up to 100"));
      stream.finish();
    },
  },

  fired(hubName, timer, { to, text }) {
    hub.sendConnection(to, "reminded", [text]);
  },
});
