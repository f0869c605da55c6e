// The handler of the conformance suite: see README.md above.

import type { Connection, Method } from "hubgate";
import { config, connections, context, fail, handler, hub, log, reject, state, takes } from "hubgate";
import * as http from "hubgate/http";

const text = (method: (client: Connection, value: string) => unknown): Method => takes(["string"], method);
const texts = (method: (client: Connection, one: string, other: string) => unknown): Method => takes(["string", "string"], method);
const decoder = new TextDecoder();
const bytes = (value: string | null | undefined): Uint8Array | null => (value === null || value === undefined ? null : new TextEncoder().encode(value));

function add(client: Connection, a: number, b: number): number {
  return Number.isSafeInteger(a + b) ? a + b : reject("Wrong arguments: two integers whose sum is below 2^53.");
}

export const { lifecycle, upstream } = handler({
  connected(client) {
    if (client.userId === "refuse-me") reject("You are not welcome.");
  },

  disconnected() {
    state.increment("gone");
  },

  methods: {
    echo: takes(["any"], (client, x) => x),
    add: takes(["integer", "integer"], add),
    length: text((client, value) => [...value].length),
    fail: text((client, value) => reject(value)),
    failed: text((client, value) => fail(value)),
    crash: text((client, value) => {
      throw new Error(value);
    }),
    spin() {
      for (;;);
    },
    grow() {
      const eaten: Uint8Array[] = [];
      for (;;) eaten.push(new Uint8Array(1 << 20).fill(1));
    },

    say: text((client, value) => hub.sendAll("said", [value])),
    sayTo: texts((client, group, value) => hub.sendGroup(group, "said", [value])),
    tell: texts((client, user, value) => hub.sendUser(user, "said", [value])),
    sayToConnection: texts((client, id, value) => hub.sendConnection(id, "said", [value])),
    sayToOthers: text((client, value) => hub.sendAll("said", [value], [client.id])),
    sayAndFail: text((client, value) => {
      hub.sendAll("said", [value]);
      reject(value);
    }),
    sayAndCrash: text((client, value) => {
      hub.sendAll("said", [value]);
      throw new Error(value);
    }),
    sayFlushAndFail: text((client, value) => {
      hub.sendAll("said", [value]);
      hub.flush();
      hub.sendAll("said", ["late"]);
      reject(value);
    }),
    join: text((client, group) => hub.join(client, group)),
    joinUser: texts((client, user, group) => hub.join(hub.user(user), group)),
    leave: text((client, group) => hub.leave(client, group)),
    leaveAll: (client) => hub.leaveAll(client),
    exists: text((client, group) => hub.exists(hub.group(group))),
    quit: text((client, reason) => hub.close(client, reason)),

    whoami: (client) => ({
      connectionId: client.id,
      userId: client.userId,
      hub: client.hub,
      claims: (connections.claims(client.id) ?? []).map(({ name, value }) => [name, value]),
      query: connections.query(client.id),
      protocol: connections.protocol(client.id),
      address: connections.remoteAddress(client.id),
    }),
    count: text((client, key) => state.increment(key)),
    set: takes(["string", "string", "number?"], (client, key, value, ttl) => state.setBytes(key, new TextEncoder().encode(value), ttl)),
    get: text((client, key) => {
      const value = state.getBytes(key);
      return value === null ? null : decoder.decode(value);
    }),
    swap: takes(["string", "string?", "string?"], (client, key, expected, value) =>
      state.compareAndSet(key, bytes(expected), bytes(value)),
    ),
    delete: text((client, key) => state.delete(key)),
    keys: text((client, prefix) => state.keys(prefix)),
    setting: text((client, key) => config.get(key)),
    note: text((client, value) => log.info(value, { by: client.id })),
    context: () => ({
      now: context.now(),
      eventId: context.eventId(),
      timeLeft: context.timeLeft(),
      random: [...context.random(8)],
    }),
    chance: () => Math.random(),
    clock: () => Date.now(),
    raw: (client, ...values) => values,
    fetch: text((client, url) => {
      const response = http.send({ url });
      return { status: response.status, body: response.text() };
    }),
  },

  // What comes in MessagePack is for `raw` alone.
  invoke: (client, call) => (call.target === "raw" ? call.arguments : reject(`There is no method '${call.target}'.`)),
});
