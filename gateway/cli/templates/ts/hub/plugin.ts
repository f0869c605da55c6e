// The hub: what clients call and stream, and what it does by itself.

import { hub, reject, state, streams, takes, timers, wholeHub } from "hubgate/whole-hub";
import { countdown, greet } from "./answers.ts";

interface Reminder {
  to: string;
  text: string;
}

export default wholeHub({
  methods: {
    hello: takes(["string"], (client, name) => greet(name)),

    // The gateway keeps the number: variables of a plugin may vanish between two calls.
    count: () => state.increment("count"),

    // The caller hears `reminded` with the text, so many milliseconds later.
    remind: takes(["integer", "string"], (client, ms, text) => {
      timers.after(`remind/${client.id}`, ms, { to: client.id, text } satisfies Reminder);
    }),
  },

  streams: {
    countdown: streams(["integer"], (client, stream, from) => {
      stream.pushAll(countdown(from) ?? reject("countdown needs a number up to 100"));
      stream.finish();
    }),
  },

  fired(hubName, timer, { to, text }: Reminder) {
    hub.sendConnection(to, "reminded", [text]);
  },
});
