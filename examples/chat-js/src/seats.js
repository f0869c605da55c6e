// Who is in which room under which name, kept by the gateway: a client's next call may meet another instance.

import state from "hubgate:plugin/state@0.1.0";
import { decode, encode } from "./utf8.js";

const key = (client, room) => `seat/${client.id}/${room}`;

export function take(client, room, name) {
  state.set(key(client, room), encode(name), null);
}

/** The name in this room, or null. */
export function name(client, room) {
  const bytes = state.get(key(client, room));
  return bytes === null ? null : decode(bytes);
}

export function free(client, room) {
  state.delete(key(client, room));
}

export function rooms(client) {
  const prefix = key(client, "");
  return state.keys(prefix, null, 1000).map((found) => found.slice(prefix.length));
}
