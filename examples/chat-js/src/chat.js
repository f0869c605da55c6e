// A chat: people with names talk in rooms. It does what examples/chat-rust does.

import { handler, hub, reject, takes } from "hubgate";
import * as seats from "./seats.js";

/** What everybody hears who joins a room. Change it, build again, and join: nobody is disconnected. */
const GREETING = "Welcome";

export const { lifecycle, upstream } = handler({
  disconnected(client) {
    for (const room of seats.rooms(client)) leave(client, room);
  },

  methods: {
    join: takes(["string", "string"], (client, room, name) => {
      if (!room.trim() || !name.trim()) reject("A room and a name are needed.");
      seats.take(client, room, name);
      hub.join(client, room);
      hub.sendGroup(room, "joined", [room, name], [client.id]);
      return `${GREETING} to ${room}, ${name}!`;
    }),

    say: takes(["string", "string"], (client, room, text) => {
      const name = seats.name(client, room);
      if (name === null) reject(`Join ${room} first.`);
      hub.sendGroup(room, "said", [room, name, text]);
    }),

    leave: takes(["string"], leave),

    rooms: seats.rooms,
  },
});

function leave(client, room) {
  const name = seats.name(client, room);
  if (name === null) return;
  seats.free(client, room);
  hub.leave(client, room);
  hub.sendGroup(room, "left", [room, name], [client.id]);
}
