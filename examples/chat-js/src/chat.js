// A chat: people with names talk in rooms. It does what examples/chat-rust does.

import hub from "hubgate:plugin/hub@0.1.0";
import * as seats from "./seats.js";

/** What everybody hears who joins a room. Change it, build again, and join: nobody is disconnected. */
const GREETING = "Welcome";

export const lifecycle = {
  init() {},
};

export const upstream = {
  connected() {},

  disconnected(client) {
    for (const room of seats.rooms(client)) leave(client, room);
  },

  invoke(client, call) {
    const method = methods[call.target];
    if (!method) reject(`The chat has no method '${call.target}'.`);
    const result = method(client, ...JSON.parse(call.arguments.val));
    return result === undefined ? null : json(result);
  },
};

const methods = {
  __proto__: null,

  join(client, ...names) {
    const [room, name] = texts(names, 2);
    if (!room.trim() || !name.trim()) reject("A room and a name are needed.");
    seats.take(client, room, name);
    submit("join", { member: { tag: "connection", val: client.id }, group: room, ttlSeconds: null });
    sendToOthers(client, room, "joined", name);
    return `${GREETING} to ${room}, ${name}!`;
  },

  say(client, ...said) {
    const [room, text] = texts(said, 2);
    const name = seats.name(client, room);
    if (name === null) reject(`Join ${room} first.`);
    send(room, "said", [room, name, text], []);
  },

  leave(client, ...rooms) {
    const [room] = texts(rooms, 1);
    leave(client, room);
  },

  rooms(client) {
    return seats.rooms(client);
  },
};

function leave(client, room) {
  const name = seats.name(client, room);
  if (name === null) return;
  seats.free(client, room);
  submit("leave", [{ tag: "connection", val: client.id }, room]);
  sendToOthers(client, room, "left", name);
}

function sendToOthers(client, room, method, name) {
  send(room, method, [room, name], [client.id]);
}

function send(room, method, values, except) {
  submit("send", { to: { tag: "group", val: room }, method, arguments: json(values), except });
}

/** Takes effect when the call succeeds. */
function submit(tag, val) {
  hub.submit([{ tag, val }]);
}

function json(value) {
  return { tag: "json", val: JSON.stringify(value) };
}

function texts(values, count) {
  if (values.length !== count || values.some((value) => typeof value !== "string")) {
    reject(`Expected ${count} arguments that are texts.`);
  }
  return values;
}

/** Ends the call with a text for the client. */
function reject(text) {
  throw { tag: "rejected", val: text };
}
