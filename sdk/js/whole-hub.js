// A whole hub, in the worlds "whole-hub" and "whole-hub-with-http": a handler that has streams, asks clients, acts later, knows who
// is there and decides who may come. All of "hubgate" is here, too.

import { fail, reject } from "./answers.js";
import { Client } from "./client.js";
import { PARTS, checkArguments, lifecycle, nameIn, named, upstream } from "./handler.js";
import { authorizer } from "./negotiator.js";
import { checkParts, done, refusePromise } from "./parts.js";
import { Stream } from "./streams.js";
import { valueOf } from "./timers.js";

export * from "./index.js";
export { AskError, Client, ask } from "./client.js";
export * as presence from "./presence.js";
export { Stream } from "./streams.js";
export * as timers from "./timers.js";

const MORE = ["streams", "begin", "writable", "cancelled", "item", "ended", "fired", "presenceChanged", "started", "authorize"];
const clientOf = (client) => new Client(client);

/**
 * What a script exports that is a whole hub: `export default wholeHub({ … })`. All parts may be missing. Variables of a script are
 * a cache that may vanish between two calls: what must stay belongs into `state`.
 */
export function wholeHub(parts) {
  checkParts("wholeHub", parts, [...PARTS, ...MORE]);
  const { methods = {}, streams = {}, fired, presenceChanged, started } = parts;
  checkParts("wholeHub.methods", methods, null);
  checkParts("wholeHub.streams", streams, null);
  const both = Object.keys(streams).find((name) => Object.hasOwn(methods, name));
  if (both !== undefined) throw new Error(`\`wholeHub\`: \`${both}\` is among \`methods\` and among \`streams\`: a method is called, or it streams`);
  return {
    lifecycle: lifecycle(parts),
    upstream: upstream({ ...parts, methods: callable(methods, streams) }, clientOf),
    upstreamStreams: upstreamStreams(parts),
    scheduled: { fired: (hub, name, payload) => done("fired", fired?.(hub, name, valueOf(payload))) },
    presenceEvents: { changed: (hub, group, joined, left) => done("presenceChanged", presenceChanged?.(hub, group, joined, left)) },
    hubLifetime: { started: (hub) => done("started", started?.(hub)) },
    authorizer: authorizer(parts),
  };
}

/** The methods, and those that stream, which refuse to be called. In the words of ASP.NET Core. */
function callable(methods, streams) {
  const refusing = (name) => () => reject(`The client attempted to invoke the streaming '${name}' method with a non-streaming invocation.`);
  const streaming = Object.keys(streams).map((name) => [name, refusing(name)]);
  // What looks into `this` for its own name finds the functions that the script has written.
  return Object.assign(Object.fromEntries(streaming), methods);
}

function upstreamStreams({ methods = {}, streams = {}, begin, writable, cancelled, item, ended }) {
  return {
    begin(client, opening) {
      const { id, target, arguments: payload, uploads, answer } = opening;
      const method = named(streams, target);
      if (method !== undefined && payload.tag === "json") {
        const given = method.call(streams, clientOf(client), new Stream(id, uploads), ...JSON.parse(payload.val));
        return refuseValue(target, given);
      }
      if (begin !== undefined) return done("begin", begin(clientOf(client), opening));
      if (named(methods, target) !== undefined) {
        const call = answer === "items" ? "with a streaming invocation" : "with streams, of which it takes none";
        reject(`The client attempted to invoke the non-streaming '${target}' method ${call}.`);
      }
      if (method === undefined) reject(`There is no method '${target}' with streams.`);
      return fail(`'${target}' was called with MessagePack, which \`streams\` do not get: take it in \`begin(client, opening)\`, or leave the plugin's \`payload\` to be "json"`);
    },
    writable: (client, id, room) => done("writable", writable?.(clientOf(client), Stream.withRoom(id, room), room)),
    cancelled: (client, id) => done("cancelled", cancelled?.(clientOf(client), Stream.fromId(id))),
    item: (client, upload, payload) => done("item", item?.(clientOf(client), upload, payload.tag === "json" ? JSON.parse(payload.val) : payload)),
    ended: (client, upload, error) => done("ended", ended?.(clientOf(client), upload, error)),
  };
}

/** A streaming method that gives something would have nobody know of it. */
function refuseValue(method, value) {
  refusePromise(`the streaming method '${method}'`, value);
  if (value !== undefined) fail(`the streaming method '${method}' has given a value, which nobody gets: \`stream.push(item)\` sends an item, \`stream.answer(value)\` answers a call`);
}

/** As `takes` of a handler, and of a method that streams, too: the arguments of the call that opens the stream. */
export function takes(kinds, method) {
  checkParts("takes", { method }, null);
  return function checked(client, ...values) {
    const opened = values[0] instanceof Stream ? values.splice(0, 1) : [];
    checkArguments(kinds, values, nameIn(this, checked));
    return method.call(this, client, ...opened, ...values);
  };
}

/** The same, with the type of a method that streams. */
export const streams = takes;
