// Who is in which room under which name, kept by the gateway: a client's next call may meet another instance. The chat in Rust keeps
// the same, so that either goes on where the other was.

import { state } from "hubgate";

const key = (client, room) => `seat/${client.id}/${room}`;

export const take = (client, room, name) => state.setBytes(key(client, room), new TextEncoder().encode(name));

/** The name in this room, or null. */
export function name(client, room) {
  const bytes = state.getBytes(key(client, room));
  return bytes === null ? null : new TextDecoder().decode(bytes);
}

export const free = (client, room) => state.delete(key(client, room));

export function rooms(client) {
  const prefix = key(client, "");
  return state.keys(prefix).map((found) => found.slice(prefix.length));
}
