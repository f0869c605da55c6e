// The package `hubgate/whole-hub` in Node.js: what a script writes, and what the gateway is told and gets of it.

import assert from "node:assert/strict";
import { register } from "node:module";
import test from "node:test";

register("./hooks.js", import.meta.url);

/** What was asked of the gateway, and what it says to each call of an import; errors are thrown as an engine throws them. */
let asked = [];
let says = {};
const gateway = (name, ...functions) =>
  Object.fromEntries(
    functions.map((each) => [
      each,
      (...values) => {
        asked.push([`${name}.${each}`, ...values]);
        const answer = says[`${name}.${each}`];
        if (answer?.thrown !== undefined) throw Object.assign(new Error("(see error.payload)"), { payload: answer.thrown });
        return answer ?? null;
      },
    ]),
  );
globalThis.logged = [];
globalThis.contract = {
  config: gateway("config", "get"),
  connections: gateway("connections", "claims"),
  hub: gateway("hub", "submit", "flush", "exists"),
  state: gateway("state", "get", "set", "delete", "compareAndSet", "increment", "keys"),
  streams: gateway("streams", "push", "finish"),
  "client-results": gateway("client-results", "ask"),
  timers: gateway("timers", "set", "cancel", "list"),
  presence: gateway("presence", "count", "members", "connections", "watch", "unwatch"),
};
const sdk = await import("../../sdk/js/whole-hub.js");
const { Stream, ask, forbidden, negotiator, presence, reject, streams, takes, timers, unauthorized, wholeHub } = sdk;

const ANN = { hub: "chat", id: "c1", userId: "ann" };
const json = (value) => ({ tag: "json", val: JSON.stringify(value) });
const opening = (target, values, more) => ({ id: "s1", target, arguments: json(values), uploads: [], answer: "items", ...more });
const tell = (thrown) => ({ thrown });
const bytes = (text) => new TextEncoder().encode(text);

test.beforeEach(() => {
  asked = [];
  says = { "streams.push": { items: 9, bytes: 900 } };
});

/** What ends a call that `run` makes. */
function refusal(run) {
  try {
    run();
  } catch (error) {
    return error;
  }
  return assert.fail("it has not been refused");
}

test("a streaming method gets the client, its stream and the arguments", () => {
  const hub = wholeHub({
    streams: {
      countdown(client, stream, from) {
        assert.equal(client.userId, "ann");
        assert.equal(stream.push(from), true);
        assert.deepEqual(stream.room, { items: 9, bytes: 900 });
        assert.equal(stream.pushAll(new Set([2, 1])), true);
        assert.equal(stream.finish(), true);
        assert.equal(stream.isOpen, false);
      },
    },
  });
  hub.upstreamStreams.begin(ANN, opening("countdown", [3]));
  assert.deepEqual(asked, [
    ["streams.push", "s1", [json(3)]],
    ["streams.push", "s1", [json(2), json(1)]],
    ["streams.finish", "s1", { tag: "ok", val: null }],
  ]);
});

test("a push says whether it did, and what would never fit is an error", () => {
  const stream = Stream.fromId("s1");
  assert.equal(stream.room, null);
  says["streams.push"] = tell({ tag: "full", val: { items: 0, bytes: 7 } });
  assert.equal(stream.push(1), false);
  assert.deepEqual(stream.room, { items: 0, bytes: 7 });
  assert.equal(stream.isOpen, true);
  says["streams.push"] = tell({ tag: "no-such-stream" });
  assert.equal(stream.pushAll([1, 2]), false);
  assert.equal(stream.isOpen, false);
  says["streams.push"] = tell({ tag: "too-large" });
  assert.throws(() => stream.push("x"), { message: "stream: what is pushed would never fit", payload: { tag: "too-large" } });
  says["streams.finish"] = tell({ tag: "no-such-stream" });
  assert.deepEqual([stream.finish(), stream.reject("no"), stream.fail("no")], [false, false, false]);
  assert.deepEqual(asked.at(-2), ["streams.finish", "s1", { tag: "err", val: { tag: "rejected", val: "no" } }]);
});

test("uploads are known by their ids, and the call is answered when they end", () => {
  const heard = [];
  const hub = wholeHub({
    streams: { sum: (client, stream) => void heard.push(stream.uploads) },
    item: (client, upload, item) => void heard.push([upload, item]),
    ended: (client, upload, error) => void (error === null ? Stream.fromId("s1").answer(7) : heard.push(error)),
  });
  hub.upstreamStreams.begin(ANN, opening("sum", [], { uploads: ["u1", "u2"], answer: "value" }));
  hub.upstreamStreams.item(ANN, "u1", json({ a: 1 }));
  hub.upstreamStreams.item(ANN, "u2", { tag: "msgpack", val: bytes("\x07") });
  hub.upstreamStreams.ended(ANN, "u1", null);
  hub.upstreamStreams.ended(ANN, "u2", "the client's own");
  assert.deepEqual(heard, [["u1", "u2"], ["u1", { a: 1 }], ["u2", { tag: "msgpack", val: bytes("\x07") }], "the client's own"]);
  assert.deepEqual(asked, [["streams.finish", "s1", { tag: "ok", val: json(7) }]]);
});

test("a method is called and a streaming method is streamed, and either says so", () => {
  const hub = wholeHub({ methods: { hello: () => "hello" }, streams: { ticks() {} } });
  const invoke = (target) => hub.upstream.invoke(ANN, { target, arguments: json([]), wantsResult: true });
  assert.deepEqual(invoke("hello"), json("hello"));
  assert.match(refusal(() => invoke("ticks")).val, /the streaming 'ticks' method with a non-streaming invocation/);
  const begin = (target, more) => refusal(() => hub.upstreamStreams.begin(ANN, opening(target, [], more))).val;
  assert.match(begin("hello"), /the non-streaming 'hello' method with a streaming invocation/);
  assert.match(begin("hello", { uploads: ["u1"], answer: "value" }), /'hello' method with streams, of which it takes none/);
  assert.equal(begin("toString"), "There is no method 'toString' with streams.");
});

test("arguments of both kinds of methods are checked", () => {
  const heard = [];
  const hub = wholeHub({
    methods: { hello: takes(["string"], (client, name) => name) },
    streams: { countdown: streams(["integer", "string?"], (client, stream, from, word) => void heard.push([client.id, stream.id, from, word])) },
  });
  hub.upstreamStreams.begin(ANN, opening("countdown", [3]));
  assert.deepEqual(heard, [["c1", "s1", 3, undefined]]);
  const begin = (values) => refusal(() => hub.upstreamStreams.begin(ANN, opening("countdown", values))).val;
  assert.equal(begin([]), "Wrong arguments: countdown takes 1 to 2, got 0.");
  assert.equal(begin(["3"]), "Wrong arguments: argument 1 must be an integer, not a string.");
  const call = { target: "hello", arguments: json([3]), wantsResult: true };
  assert.equal(refusal(() => hub.upstream.invoke(ANN, call)).val, "Wrong arguments: argument 1 must be a string, not an integer.");
});

test("what comes in MessagePack goes to `begin`, and is refused where there is none", () => {
  const packed = opening("ticks", [], { arguments: { tag: "msgpack", val: bytes("\x90") } });
  assert.match(refusal(() => wholeHub({ streams: { ticks() {} } }).upstreamStreams.begin(ANN, packed)).val, /take it in `begin\(client, opening\)`/);
  const heard = [];
  wholeHub({ streams: { ticks() {} }, begin: (client, opening) => void heard.push(opening) }).upstreamStreams.begin(ANN, packed);
  assert.deepEqual(heard, [packed]);
});

test("a streaming method that gives a value or a promise is told, as nobody gets it", () => {
  const hub = wholeHub({ streams: { a: () => [1], b: () => Promise.resolve() } });
  assert.match(refusal(() => hub.upstreamStreams.begin(ANN, opening("a", []))).val, /'a' has given a value, which nobody gets/);
  assert.match(refusal(() => hub.upstreamStreams.begin(ANN, opening("b", []))).val, /'b' has answered with a promise/);
});

test("the end of a stream and new room come with the stream", () => {
  const heard = [];
  const hub = wholeHub({
    writable: (client, stream, room) => void heard.push(stream.id, stream.room, room),
    cancelled: (client, stream) => void heard.push(client.id, stream.id),
  });
  hub.upstreamStreams.writable(ANN, "s1", { items: 5, bytes: 50 });
  hub.upstreamStreams.cancelled(ANN, "s2");
  assert.deepEqual(heard, ["s1", { items: 5, bytes: 50 }, { items: 5, bytes: 50 }, "c1", "s2"]);
});

test("a client is asked, and answers with a value or with none", () => {
  says["client-results.ask"] = json({ yes: true });
  const hub = wholeHub({ methods: { confirm: (client, text) => client.ask("confirm", [text], { timeoutMs: 0.5 }) } });
  const call = { target: "confirm", arguments: json(["Sure?"]), wantsResult: true };
  assert.deepEqual(hub.upstream.invoke(ANN, call), json({ yes: true }));
  says["client-results.ask"] = null;
  assert.equal(ask("c2", "ping"), undefined);
  assert.deepEqual(asked, [
    ["client-results.ask", "c1", "confirm", json(["Sure?"]), 1],
    ["client-results.ask", "c2", "ping", json([]), 0],
  ]);
  says["client-results.ask"] = tell({ tag: "timed-out" });
  assert.throws(() => ask("c2", "ping"), { name: "AskError", message: "The client did not answer in time.", payload: { tag: "timed-out" }, tag: "rejected" });
  says["client-results.ask"] = tell({ tag: "failed", val: "the client's own" });
  assert.throws(() => ask("c2", "ping"), { message: "the client's own", val: "the client's own" });
  assert.throws(() => ask("c2", "ping", [], { timeoutMs: 0 }), RangeError);
});

test("timers carry values, and are told by name", () => {
  timers.after("soon", 1.2, { text: "hi" });
  timers.at("noon", new Date(5000), undefined, { durable: true });
  timers.every("tick", 100, null);
  assert.deepEqual(asked, [
    ["timers.set", "soon", { tag: "after", val: 2 }, bytes('{"text":"hi"}'), false],
    ["timers.set", "noon", { tag: "at", val: 5000 }, bytes(""), true],
    ["timers.set", "tick", { tag: "every", val: 100 }, bytes("null"), false],
  ]);
  const heard = [];
  const hub = wholeHub({ fired: (...values) => void heard.push(values) });
  hub.scheduled.fired("chat", "soon", bytes('{"text":"hi"}'));
  hub.scheduled.fired("chat", "noon", bytes(""));
  hub.scheduled.fired("chat", "raw", new Uint8Array([255]));
  assert.deepEqual(heard, [["chat", "soon", { text: "hi" }], ["chat", "noon", undefined], ["chat", "raw", new Uint8Array([255])]]);
  says["timers.list"] = [{ name: "tick", when: { tag: "every", val: 100 }, due: 7, payload: bytes("null"), durable: false }];
  assert.deepEqual(timers.list(), [{ name: "tick", every: 100, due: 7, payload: null, durable: false }]);
  says["timers.cancel"] = true;
  assert.equal(timers.cancel("tick"), true);
  assert.throws(() => timers.every("tick", NaN), RangeError);
  says["timers.set"] = tell({ tag: "too-short" });
  assert.throws(() => timers.every("tick", 0), { message: /^timer 'tick': its period is shorter than/ });
});

test("presence takes what the hub does, and tells of groups that are watched", () => {
  says["presence.count"] = 3;
  assert.equal(presence.count({ tag: "group", val: "lobby" }), 3);
  presence.count(ANN);
  presence.members("lobby", "c1", 10);
  presence.connections("ann");
  presence.watch("lobby");
  assert.deepEqual(asked, [
    ["presence.count", { tag: "group", val: "lobby" }],
    ["presence.count", { tag: "connection", val: "c1" }],
    ["presence.members", "lobby", "c1", 10],
    ["presence.connections", "ann", null, 1000],
    ["presence.watch", "lobby"],
  ]);
  const heard = [];
  const member = { connection: "c1", userId: "ann" };
  wholeHub({ presenceChanged: (...values) => void heard.push(values) }).presenceEvents.changed("chat", "lobby", [member], []);
  assert.deepEqual(heard, [["chat", "lobby", [member], []]]);
  says["presence.watch"] = tell({ tag: "invalid", val: "no name" });
  assert.throws(() => presence.watch(""), { message: "presence: no name" });
});

test("an authorizer gives a grant or refuses", () => {
  const request = (headers, query = []) => ({ hub: "chat", headers, query, remoteAddress: "::1" });
  const { authorizer } = negotiator({
    authorize(request) {
      const user = request.header("X-User") ?? request.cookie("user") ?? unauthorized("Who are you?");
      if (user === "nobody") forbidden("Not you.");
      if (user === "never") reject("Never.");
      if (user === "token") return { userId: request.bearerToken };
      return user === "plain" ? {} : { userId: user, claims: { role: ["a", 1], from: request.query("from") } };
    },
  });
  const grant = authorizer.authorize(request([{ name: "cookie", value: "a=b; c; user=ann=1" }], [{ name: "from", value: "here" }]));
  const claims = [
    { name: "role", value: "a" },
    { name: "role", value: "1" },
    { name: "from", value: "here" },
  ];
  assert.deepEqual(grant, { userId: "ann=1", claims, groups: [], lifetimeSeconds: null });
  const of = (user) => authorizer.authorize(request([{ name: "x-user", value: user }]));
  assert.deepEqual(of("plain"), { userId: null, claims: [], groups: [], lifetimeSeconds: null });
  const bearer = [{ name: "X-User", value: "token" }, { name: "Authorization", value: "bearer a.b" }];
  assert.equal(authorizer.authorize(request(bearer)).userId, "a.b");
  assert.deepEqual(refusal(() => of("nobody")), { tag: "forbidden", val: "Not you." });
  assert.deepEqual(refusal(() => of("never")), { tag: "forbidden", val: "Never." });
  assert.deepEqual(refusal(() => authorizer.authorize(request([]))), { tag: "unauthorized", val: "Who are you?" });
});

test("what is not written has a default", () => {
  const hub = wholeHub({});
  hub.lifecycle.init();
  hub.upstream.connected(ANN);
  hub.upstream.disconnected(ANN, null);
  hub.upstreamStreams.writable(ANN, "s1", { items: 1, bytes: 1 });
  hub.upstreamStreams.cancelled(ANN, "s1");
  hub.upstreamStreams.item(ANN, "u1", json(1));
  hub.upstreamStreams.ended(ANN, "u1", null);
  hub.scheduled.fired("chat", "tick", bytes(""));
  hub.presenceEvents.changed("chat", "lobby", [], []);
  hub.hubLifetime.started("chat");
  const authorize = () => hub.authorizer.authorize({ hub: "chat", headers: [], query: [], remoteAddress: "::1" });
  assert.deepEqual(refusal(authorize), { tag: "failed", val: "this plugin has no authorizer for the hub 'chat'" });
  assert.deepEqual(asked, []);
});

test("what cannot work is refused by its name", () => {
  const refused = (parts) => refusal(() => wholeHub(parts)).message;
  assert.match(refused({ streams: { async ticks() {} } }), /`wholeHub.streams`: `ticks` is async.*Make it a plain function/);
  assert.match(refused({ streams: { async *ticks() {} } }), /`ticks` is async/);
  assert.match(refused({ streams: { *ticks() {} } }), /`ticks` is a generator.*`stream.push\(item\)`/);
  assert.match(refused({ async fired() {} }), /`wholeHub`: `fired` is async/);
  assert.match(refused({ timer() {} }), /has no `timer`: it takes .*fired/);
  assert.match(refused({ methods: { a() {} }, streams: { a() {} } }), /`a` is among `methods` and among `streams`/);
  assert.match(refusal(() => negotiator({ authorise() {} })).message, /has no `authorise`/);
});
