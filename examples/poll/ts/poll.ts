// A live poll: everybody votes once, and everybody sees the counts at once.

import { config, handler, hub, reject, state, takes } from "hubgate";

type Counts = Record<string, number>;

const choices = (): string[] => (config.get("choices") ?? "tea,coffee,water").split(",").map((choice) => choice.trim());

const counts = (): Counts => Object.fromEntries(choices().map((choice) => [choice, state.get(`count/${choice}`) ?? 0]));

export const { lifecycle, upstream } = handler({
  methods: {
    vote: takes(["string"], (client, choice): Counts => {
      if (!choices().includes(choice)) reject(`There is no choice '${choice}'.`);
      const key = `vote/${client.userId ?? client.id}`;
      if (!state.compareAndSet(key, null, new TextEncoder().encode(choice))) reject("You have voted already.");
      state.increment(`count/${choice}`);
      const now = counts();
      hub.sendAll("counts", [now]);
      return now;
    }),

    counts,

    language: () => "TypeScript",
  },
});
