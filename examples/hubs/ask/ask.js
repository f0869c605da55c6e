// Clients know of each other, and the hub asks one of them what another waits for.

import { ask, hub, presence, takes, wholeHub } from "hubgate/whole-hub";

export default wholeHub({
  connected: (client) => hub.join(client, "everybody"),
  methods: {
    Everybody: () => presence.members("everybody").map(({ connection }) => connection),
    WaitForMessage: takes(["string"], (client, connection) => ask(connection, "getMessage", [client.id])),
  },
});
