// A chat: people with names talk in rooms, see who is there, and read what was said before they came.

import { hub, presence, reject, state, takes, wholeHub } from "hubgate/whole-hub";

const ROOMS = ["lobby", "kitchen", "garden"];

const seat = (id) => state.get(`seat/${id}`) ?? reject("Join a room first.");

export default wholeHub({
  presenceChanged(_, room) {
    const seats = presence.members(room).map(({ connection }) => state.get(`seat/${connection}`));
    hub.sendGroup(room, "people", [seats.flatMap((seat) => seat?.name ?? [])]);
  },

  disconnected: (client) => state.delete(`seat/${client.id}`),

  methods: {
    Join: takes(["string", "string"], (client, room, name) => {
      if (!ROOMS.includes(room)) reject(`There is no room '${room}'.`);
      state.set(`seat/${client.id}`, { room, name });
      presence.watch(room);
      hub.leaveAll(client);
      hub.join(client, room);
    }),

    Say: takes(["string"], (client, text) => {
      if (text.length > 1000) reject("Say it in 1,000 characters.");
      const { room, name } = seat(client.id);
      const message = { number: state.increment(`count/${room}`), name, text };
      state.set(`said/${room}/${message.number % 50}`, message);
      hub.sendGroup(room, "said", [message]);
    }),
  },

  streams: {
    History(client, stream) {
      const messages = state.keys(`said/${seat(client.id).room}/`).map((key) => state.get(key));
      stream.pushAll(messages.sort((one, other) => one.number - other.number));
      stream.finish();
    },
  },
});
