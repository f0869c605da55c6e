// Whoever drags the shape moves it for all others.

import { hub, takes, wholeHub } from "hubgate/whole-hub";

export default wholeHub({
  methods: {
    MoveShape: takes(["integer", "integer"], (client, x, y) => hub.sendAll("shapeMoved", [x, y], [client.id])),
  },
});
