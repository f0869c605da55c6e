// Act on the hub of the event that is being handled. What is asked for is done in order, before the caller is answered, when
// the handler returns; it is thrown away when the handler throws.

import contract from "hubgate:plugin/hub@0.1.0";
import { fail } from "./answers.js";
import { imports, timeToLive } from "./imports.js";
import { argumentsOf } from "./payload.js";

const raw = imports(contract);
const LONGEST_SECONDS = 2 ** 32 - 1;

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
  act({ tag: "join", val: { member: memberOf(member), group, ttlSeconds: timeToLive(ttlSeconds, LONGEST_SECONDS) } });
}

export const leave = (member, group) => act({ tag: "leave", val: [memberOf(member), group] });

/** Takes a member out of all groups. */
export const leaveAll = (member) => act({ tag: "leave-all", val: memberOf(member) });

/** Closes a connection, or all that a target has, but for those in `except`. It is told the reason, and whether to come again. */
export function close(target, reason = null, allowReconnect = false, except = []) {
  act({ tag: "close", val: { target: targetOf(target), except, reason, allowReconnect } });
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
export const exists = (target) => raw.exists(targetOf(target));

function memberOf(member) {
  const target = targetOf(member);
  if (target.tag !== "connection" && target.tag !== "user") throw new TypeError(`a client, the id of a connection or hub.user(id) is a member of groups, not ${JSON.stringify(member)}`);
  return target;
}

/** Of a client, the id of a connection, or what is one already. */
export function targetOf(target) {
  if (typeof target === "string") return connection(target);
  if (["all", "group", "user", "connection"].includes(target?.tag)) return target;
  if (typeof target?.id === "string") return connection(target.id);
  throw new TypeError(`a client, the id of a connection, hub.user(id), hub.group(name) or hub.all is meant, not ${JSON.stringify(target)}`);
}
