// A chat: people with names talk in rooms, see who is there, and read what was said before they came.

import { hub, presence, reject, state, takes, wholeHub } from "hubgate/whole-hub";

const ROOMS = ["lobby", "kitchen", "garden"];

const seat = (client) => state.get(client.id) ?? reject("Join a room first.");

export default wholeHub({
  disconnected(client) {
    hub.sendGroup(state.get(client.id)?.room ?? ROOMS[0], "peopleChanged", []);
    state.delete(client.id);
  },

  methods: {
    Join: takes(["string", "string"], (client, room, name) => {
      if (!ROOMS.includes(room)) reject(`There is no room '${room}'.`);
      const before = state.get(client.id)?.room ?? room;
      state.set(client.id, { room, name });
      hub.leaveAll(client);
      hub.join(client, room);
      for (const changed of new Set([before, room])) hub.sendGroup(changed, "peopleChanged", []);
    }),

    People: (client) => presence.members(seat(client).room).flatMap(({ connection }) => state.get(connection)?.name ?? []),

    Say: takes(["string"], (client, text) => {
      const { room, name } = seat(client);
      const message = { number: state.increment(`count/${room}`), name, text };
      state.set(`said/${room}/${message.number % 50}`, message);
      hub.sendGroup(room, "said", [message]);
    }),
  },

  streams: {
    History(client, stream) {
      const messages = state.keys(`said/${seat(client).room}/`).map((key) => state.get(key));
      stream.pushAll(messages.sort((one, other) => one.number - other.number));
      stream.finish();
    },
  },
});
