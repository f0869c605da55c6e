// Act on the hub of the event that is being handled. What is asked for is done in order, before the caller is answered, when
// the handler returns; it is thrown away when the handler throws.

import raw from "hubgate:plugin/hub@0.1.0";
import { fail } from "./answers.js";
import { argumentsOf } from "./payload.js";

export const all = Object.freeze({ tag: "all" });
export const group = (name) => ({ tag: "group", val: name });
export const user = (id) => ({ tag: "user", val: id });
export const connection = (id) => ({ tag: "connection", val: id });

/** Calls a method of all clients, but for the connections in `except`. */
export const sendAll = (method, values, except) => send(all, method, values, except);
export const sendGroup = (name, method, values, except) => send(group(name), method, values, except);
export const sendUser = (id, method, values, except) => send(user(id), method, values, except);
export const sendConnection = (id, method, values, except) => send(connection(id), method, values, except);

/** `to` is `hub.all`, `hub.group(name)`, `hub.user(id)` or `hub.connection(id)`. */
export function send(to, method, values, except = []) {
  act({ tag: "send", val: { to, method, arguments: argumentsOf(values), except } });
}

/** Puts a member into a group: a client, a connection's id, or `hub.user(id)`; for some seconds, or as long as it is there. */
export function join(member, group, ttlSeconds = null) {
  act({ tag: "join", val: { member: memberOf(member), group, ttlSeconds } });
}

export const leave = (member, group) => act({ tag: "leave", val: [memberOf(member), group] });

/** Takes a member out of all groups. */
export const leaveAll = (member) => act({ tag: "leave-all", val: memberOf(member) });

/** Closes a connection, or all that a target has, but for those in `except`. It is told the reason, and whether to come again. */
export function close(target, reason = null, allowReconnect = false, except = []) {
  act({ tag: "close", val: { target: memberOf(target), except, reason, allowReconnect } });
}

/** Queues an action of the contract. */
export function act(action) {
  try {
    raw.submit([action]);
  } catch (error) {
    if (error?.payload?.reason === undefined) throw error;
    fail(`hub: ${error.payload.reason}`);
  }
}

/** Does what is queued now, whatever becomes of the call. */
export const flush = () => raw.flush();

/** Whether the target has a connection. */
export const exists = (target) => raw.exists(memberOf(target));

/** Of a client, the id of a connection, or what is one already. */
function memberOf(member) {
  if (typeof member === "string") return connection(member);
  return member.tag === undefined ? connection(member.id) : member;
}
