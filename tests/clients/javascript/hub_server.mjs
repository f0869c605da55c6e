// What the unmodified SignalR client does with an application that hub servers of the gateway serve.
//
//   node hub_server.mjs CLIENT SCENARIO URL TRANSPORT PROTOCOL
//
// CLIENT is the package, URL the application's base URL, which sends its clients to the gateway; TRANSPORT is one of the
// client's `HttpTransportType`, PROTOCOL `json` or `messagepack`. A scenario says in lines how far it is, and `done` at its end.

import assert from "node:assert/strict";
import { once, until } from "./wait.mjs";

const [client, scenario, url, transport, protocol] = process.argv.slice(2);
const { HubConnectionBuilder, HttpTransportType, LogLevel, Subject } = await import(client);
const { MessagePackHubProtocol } = await import(client === "signalr-7" ? "msgpack-7" : `${client}-protocol-msgpack`);

const scenarios = {
  async "calls and errors"() {
    const connection = await started();
    assert.equal(await connection.invoke("Echo", "hi ü 👋"), "hi ü 👋");
    assert.equal(await connection.invoke("Add", 2, 3), 5);
    assert.equal(await connection.invoke("Null"), null);
    assert.equal(await connection.invoke("LengthOfText", "x".repeat(20_000)), 20_000);
    const numbers = Array.from({ length: 100 }, (_, number) => String(number));
    assert.deepEqual(await Promise.all(numbers.map((number) => connection.invoke("Echo", number))), numbers);
    await assert.rejects(connection.invoke("Throw", "No, not today."), /HubException: No, not today\./);
    await assert.rejects(connection.invoke("ThrowRaw", "secret"), (error) => !error.message.includes("secret"));
    await assert.rejects(connection.invoke("NoSuchMethod"), /NoSuchMethod|Method does not exist/);
    const heard = once((resolve) => connection.on("all", resolve));
    await connection.invoke("Broadcast", "all", "everybody");
    assert.equal(await heard, "everybody");
    await connection.stop();
  },

  async "filters in the path"() {
    const connection = await started();
    const heard = once((resolve) => connection.on("all", resolve));
    await connection.invoke("Broadcast", "all", "my card is 1234-5678");
    assert.equal(await heard, "my card is ***");
    await assert.rejects(connection.invoke("Echo", "reject"), /The filter says no\./);
    assert.equal(await connection.invoke("Echo", "hi ü 👋"), "hi ü 👋");
    assert.deepEqual(await items(connection.stream("Counter", 5, 1)), [0, 1, 2, 3, 4]);
    connection.on("ask", () => "1234-5678");
    assert.equal(await connection.invoke("AskCaller", "ask", "what", 10_000), "***");
    if (protocol === "messagepack") {
      const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
      assert.deepEqual(new Uint8Array(await connection.invoke("EchoBytes", bytes)), bytes);
    }
    await connection.stop();
  },

  async "streams both ways"() {
    const connection = await started();
    assert.deepEqual(await items(connection.stream("Counter", 5, 1)), [0, 1, 2, 3, 4]);
    await assert.rejects(items(connection.stream("FailAfter", 2, "no more")), /no more/);
    const numbers = new Subject();
    const sum = connection.invoke("Upload", numbers);
    for (const number of [1, 2, 3]) {
      numbers.next(number);
    }
    numbers.complete();
    assert.equal(await sum, 6);
    await connection.stop();
  },

  async groups() {
    const [ann, bob] = [await started(), await started()];
    const heard = [];
    ann.on("said", (text) => void heard.push(text));
    const group = `tea ${ann.connectionId}`;
    await ann.invoke("JoinGroup", group);
    await bob.invoke("SendGroup", group, "said", "one");
    await bob.invoke("SendGroup", "coffee", "said", "two");
    await until(() => heard.length === 1);
    await ann.invoke("LeaveGroup", group);
    await bob.invoke("SendGroup", group, "said", "three");
    await bob.invoke("SendConnection", ann.connectionId, "said", "four");
    await until(() => heard.length === 2);
    assert.deepEqual(heard, ["one", "four"]);
    await ann.stop();
    await bob.stop();
  },

  async "client results"() {
    const [ann, bob] = [await started(), await started()];
    // The SDK can miss an answer that is there before it has noted its question.
    ann.on("ask", async (question) => {
      await new Promise((resolve) => setTimeout(resolve, 100));
      return `${question}? Yes.`;
    });
    assert.equal(await bob.invoke("AskConnection", ann.connectionId, "ask", "Tea", 10_000), "answer: Tea? Yes.");
    assert.equal(await ann.invoke("AskCaller", "ask", "Me", 10_000), "Me? Yes.");
    await ann.stop();
    await bob.stop();
  },

  async "automatic reconnect"() {
    // The test that started this restarts the application when it is told `reconnecting`.
    const connection = build();
    const reconnecting = once((resolve) => connection.onreconnecting(resolve));
    const reconnected = once((resolve) => connection.onreconnected(resolve));
    await connection.start();
    const id = connection.connectionId;
    assert.equal(await connection.invoke("WhereAmI"), "one");
    console.log("connected");
    await reconnecting;
    console.log("reconnecting");
    await reconnected;
    assert.notEqual(connection.connectionId, id);
    assert.equal(await connection.invoke("WhereAmI"), "two");
    await connection.stop();
  },
};

function build() {
  const builder = new HubConnectionBuilder()
    .withUrl(`${url}/chat`, { transport: HttpTransportType[transport] })
    .configureLogging(LogLevel.None)
    .withAutomaticReconnect({ nextRetryDelayInMilliseconds: () => 100 });
  if (protocol === "messagepack") {
    builder.withHubProtocol(new MessagePackHubProtocol());
  }
  return builder.build();
}

async function started() {
  const connection = build();
  await connection.start();
  return connection;
}

/** All items of a stream. */
function items(stream) {
  return new Promise((resolve, reject) => {
    const all = [];
    stream.subscribe({ next: (item) => void all.push(item), complete: () => resolve(all), error: reject });
  });
}

const run = scenarios[scenario];
assert.ok(run, `no scenario ${scenario}`);
await run();
console.log("done");
