// Who is in the hub of the event, in the whole cluster.

import contract from "hubgate:plugin/presence@0.1.0";
import { imports } from "./imports.js";
import { targetOf } from "./hub.js";

const raw = imports(contract);

/** How many connections a client, a connection's id, `hub.user(id)`, `hub.group(name)` or `hub.all` has. */
export const count = (target) => attempt(() => raw.count(targetOf(target)));

/** The members of a group by connection id, some at a time: those after `after`. */
export const members = (group, after = null, limit = 1000) => attempt(() => raw.members(group, after, limit));

/** The connection ids of a user, some at a time: those after `after`. */
export const connections = (user, after = null, limit = 1000) => attempt(() => raw.connections(user, after, limit));

/** From now on `presenceChanged` tells who joins and leaves the group. */
export const watch = (group) => attempt(() => raw.watch(group));

export const unwatch = (group) => attempt(() => raw.unwatch(group));

/** Puts words to what the gateway says; `error.payload` stays. */
function attempt(work) {
  try {
    return work();
  } catch (error) {
    const payload = error?.payload;
    if (payload?.tag === "too-many") error.message = "presence: the plugin watches as many groups as it may (plugins.NAME.presence-groups)";
    else if (payload !== undefined) error.message = `presence: ${payload.val ?? payload.tag ?? payload}`;
    throw error;
  }
}
