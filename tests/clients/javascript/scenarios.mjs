// What the unmodified SignalR client does against a gateway with the probe as upstream of hub `probe`.
//
//   node scenarios.mjs CLIENT SCENARIO URL TRANSPORT PROTOCOL [TOKEN]
//
// CLIENT is the package, URL the gateway's base URL; TRANSPORT is one of the client's `HttpTransportType`, PROTOCOL `json` or
// `messagepack`. A scenario says in lines how far it is, and `done` at its end.

import assert from "node:assert/strict";
import { once, until } from "./wait.mjs";

const [client, scenario, url, transport, protocol, token] = process.argv.slice(2);
const { HubConnectionBuilder, HubConnectionState, HttpTransportType, LogLevel, Subject } = await import(client);
const { MessagePackHubProtocol } = await import(client === "signalr-7" ? "msgpack-7" : `${client}-protocol-msgpack`);

const scenarios = {
  async "connect and disconnect"() {
    const connection = build();
    assert.equal(connection.state, HubConnectionState.Disconnected);
    await connection.start();
    assert.equal(connection.state, HubConnectionState.Connected);
    assert.ok(connection.connectionId);
    const closed = once((resolve) => connection.onclose(resolve));
    await connection.stop();
    assert.equal(await closed, undefined, "an end of one's own is no error");
  },

  async "straight to the websocket"() {
    const connection = await started({ path: "/client/?hub=probe", token, skipNegotiation: true });
    assert.equal(await connection.invoke("echo", "here"), "here");
    await connection.stop();
  },

  async "a token of the application"() {
    const connection = build({ path: "/client/?hub=probe", token });
    await connection.start();
    const me = await connection.invoke("whoami");
    assert.equal(me.userId, "ann");
    assert.equal(me.connectionId, connection.connectionId);
    await connection.stop();
  },

  async "a token that is refused"() {
    const connection = build({ path: "/client/?hub=probe", token: `${token}x` });
    await assert.rejects(connection.start(), /401/);
  },

  async "a call with a result"() {
    const connection = await started();
    const values = ["text", "", 1.5, -7, 2 ** 40, true, null, [1, [2]], { a: { b: "ü 👋" } }, "x".repeat(200_000)];
    for (const value of values) {
      assert.deepEqual(await connection.invoke("echo", value), value);
    }
    const numbers = Array.from({ length: 100 }, (_, number) => number);
    assert.deepEqual(await Promise.all(numbers.map((number) => connection.invoke("echo", number))), numbers);
    await connection.invoke("join", "a group");
    await connection.stop();
  },

  async "a send and a stop right behind it"() {
    const connection = await started();
    for (let number = 0; number < 3; number += 1) {
      await connection.send("count", "last words");
    }
    await connection.stop();
  },

  async "order"() {
    const connection = await started();
    const heard = [];
    connection.on("said", (text) => void heard.push(text));
    const numbers = Array.from({ length: 300 }, (_, number) => String(number));
    await Promise.all(numbers.map((number) => connection.send("say", number)));
    await until(() => heard.length === numbers.length);
    assert.deepEqual(heard, numbers);
    await connection.stop();
  },

  async "a reader that stops"() {
    const [stalled, other] = [await started(), await started()];
    const heard = [];
    other.on("said", (text) => void heard.push(text.length));
    // It has no way to be told; the socket below it has.
    stalled.connection.transport._webSocket._socket.pause();
    const closed = once((resolve) => stalled.onclose(resolve));
    const text = "x".repeat(200_000);
    for (let number = 0; number < 100; number += 1) {
      await other.invoke("say", text);
    }
    await until(() => heard.length === 100);
    stalled.connection.transport._webSocket._socket.resume();
    await closed;
    await other.stop();
  },

  async "a call with an error"() {
    const connection = await started();
    await assert.rejects(connection.invoke("fail", "No, not today."), /No, not today\./);
    await assert.rejects(connection.invoke("trap"), /invoking 'trap'/);
    await assert.rejects(connection.invoke("no such method"), /no such method/);
    assert.equal(await connection.invoke("echo", "fine"), "fine");
    await connection.stop();
  },

  async "a stream is an error"() {
    const connection = await started();
    const error = await once((resolve) =>
      connection.stream("echo", 1).subscribe({ next() {}, complete: () => resolve(undefined), error: resolve }),
    );
    assert.match(String(error), /stream/);
    await connection.stop();
  },

  async "streams both ways"() {
    const connection = await started();
    const numbers = (count) => Array.from({ length: count }, (_, number) => number);
    const items = (stream) =>
      new Promise((resolve, reject) => {
        const heard = [];
        stream.subscribe({ next: (item) => void heard.push(item), complete: () => resolve(heard), error: reject });
      });
    const [some, many] = [items(connection.stream("numbers", 3, 0)), items(connection.stream("numbers", 2000, 0))];
    assert.deepEqual(await some, numbers(3));
    assert.deepEqual(await many, numbers(2000));
    await assert.rejects(items(connection.stream("failAfter", 3)), /enough/);
    const first = once((resolve) => {
      const subscription = connection.stream("numbers", 3000, 0).subscribe({
        next() {
          subscription.dispose();
          resolve();
        },
        complete() {},
        error() {},
      });
    });
    await first;
    const [one, left, right] = [new Subject(), new Subject(), new Subject()];
    // The client overlooks a stream right after another one.
    const [sum, counts] = [connection.invoke("sum", one), connection.invoke("zip", left, "and", right)];
    for (const number of numbers(100)) {
      one.next(number);
      (number % 4 === 0 ? right : left).next(number);
    }
    [right, one, left].forEach((subject) => subject.complete());
    assert.equal(await sum, 4950);
    assert.deepEqual(await counts, [75, 25]);
    assert.equal(await connection.invoke("version"), "1");
    await connection.stop();
  },

  async "receiving from another client"() {
    const [ann, bob] = [await started(), await started()];
    const heard = [ann, bob].map((each) => once((resolve) => each.on("said", resolve)));
    await bob.send("say", "hello, all");
    assert.deepEqual(await Promise.all(heard), ["hello, all", "hello, all"]);
    await ann.stop();
    await bob.stop();
  },

  async "groups"() {
    const [ann, bob] = [await started(), await started()];
    const heard = [];
    ann.on("said", (text) => void heard.push(text));
    await ann.invoke("join", "tea");
    await bob.invoke("sayTo", "tea", "one");
    await bob.invoke("sayTo", "coffee", "two");
    await until(() => heard.length === 1);
    await ann.invoke("leave", "tea");
    await bob.invoke("sayTo", "tea", "three");
    await bob.invoke("say", "four");
    await until(() => heard.length === 2);
    assert.deepEqual(heard, ["one", "four"]);
    await ann.stop();
    await bob.stop();
  },

  async "client results"() {
    const [connection, other] = [await started(), await started()];
    for (const each of [connection, other]) {
      each.on("add", (x) => x + 1);
      each.on("later", async (x) => {
        await new Promise((resolve) => setTimeout(resolve, 50));
        return { x };
      });
      each.on("no", () => {
        throw new Error("I cannot.");
      });
      each.on("nothing", () => null);
    }
    assert.equal(await connection.invoke("askMe", "add", 41), 42);
    assert.deepEqual(await connection.invoke("askMe", "later", ["ü 👋", 1.5]), { x: ["ü 👋", 1.5] });
    assert.equal(await connection.invoke("askMe", "nothing", 1), null);
    await assert.rejects(connection.invoke("askMe", "no", 1), /I cannot\./);
    await assert.rejects(connection.invoke("askMe", "no such method", 1), /didn't provide a result/);
    const id = await other.invoke("connectionId");
    // Its own calls wait for their turn; the other's do not wait for it.
    const all = [...Array(20).keys()].map((x) => connection.invoke("askOther", id, "later", x, 10_000));
    assert.equal(await other.invoke("askMe", "add", 1), 2);
    assert.deepEqual(await Promise.all(all), [...Array(20).keys()].map((x) => ({ x })));
    await other.stop();
    // The client does not wait until the gateway has read its close.
    const gone = /The connection does not exist\.|The client left before it answered\./;
    await assert.rejects(connection.invoke("askOther", id, "add", 1, 10_000), gone);
    await connection.stop();
  },

  async "close with a reason"() {
    // Who is sent away stays away, even with the wish to come back.
    const connection = await started({ reconnect: true });
    const closed = once((resolve) => connection.onclose(resolve));
    let reconnects = 0;
    connection.onreconnecting(() => (reconnects += 1));
    connection.send("quit", "Enough for today.");
    assert.match(String(await closed), /Server returned an error on close: Enough for today\./);
    assert.equal(reconnects, 0);
  },

  async "a refusal"() {
    const connection = build({ path: "/client/?hub=probe", token });
    await assert.rejects(connection.start(), /You are not welcome\./);
    assert.equal(connection.state, HubConnectionState.Disconnected);
  },

  async "no server connected"() {
    const connection = build({ path: "/client/?hub=unnamed", token });
    await assert.rejects(connection.start(), /app servers are not connected/);
  },

  async "pings keep a quiet connection"() {
    // The gateway pings each second, and gives up whom it does not hear for six.
    const connection = build();
    connection.serverTimeoutInMilliseconds = 6_000;
    connection.keepAliveIntervalInMilliseconds = 700;
    let closed = false;
    connection.onclose(() => (closed = true));
    await connection.start();
    await new Promise((resolve) => setTimeout(resolve, 9_000));
    assert.equal(closed, false);
    assert.equal(await connection.invoke("echo", "still here"), "still here");
    await connection.stop();
  },

  async "automatic reconnect"() {
    // The test that started this restarts the gateway whenever it is told `connected`.
    const connection = build({ reconnect: true });
    const ids = [];
    await connection.start();
    for (const round of [1, 2]) {
      ids.push(connection.connectionId);
      const reconnected = once((resolve) => connection.onreconnected(resolve));
      console.log(`connected ${round}`);
      const id = await reconnected;
      assert.equal(id, connection.connectionId);
      assert.ok(!ids.includes(id), "a reconnected client is a new connection");
      assert.equal(await connection.invoke("echo", "back"), "back");
    }
    await connection.stop();
  },
};

function build({ path = "/hubs/probe", token, reconnect = false, skipNegotiation = false } = {}) {
  const options = { transport: HttpTransportType[transport], skipNegotiation };
  if (token) {
    options.accessTokenFactory = () => token;
  }
  const builder = new HubConnectionBuilder().withUrl(url + path, options).configureLogging(LogLevel.Warning);
  if (protocol === "messagepack") {
    builder.withHubProtocol(new MessagePackHubProtocol());
  }
  if (reconnect) {
    builder.withAutomaticReconnect({ nextRetryDelayInMilliseconds: () => 100 });
  }
  return builder.build();
}

async function started(options) {
  const connection = build(options);
  await connection.start();
  return connection;
}

const run = scenarios[scenario];
assert.ok(run, `no scenario ${scenario}`);
await run();
console.log("done");
