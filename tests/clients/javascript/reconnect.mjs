// What the unmodified SignalR client does whose link is cut again and again while the test goes on.
//
//   node reconnect.mjs HUB PROTOCOL CUT_URL OTHER_URL TOKEN
//
// HUB is what serves the hub: `probe` (the component) or `dotnet` (the rig's hub server). Two clients are in one group and number what they
// send to it: one connects to CUT_URL, whose connections are cut, the other to OTHER_URL. Each must hear all that both send once and in order, and
// have each call answered, until `enough` is sent to all. It says `connected`, and `done` at its end.

import assert from "node:assert/strict";
import { HubConnectionBuilder, HttpTransportType, LogLevel } from "@microsoft/signalr";
import { MessagePackHubProtocol } from "@microsoft/signalr-protocol-msgpack";
import { once, until } from "./wait.mjs";

const [hub, protocol, cutUrl, otherUrl, token] = process.argv.slice(2);

/** How the hubs name what is asked of them. */
const methods = {
  probe: {
    join: (connection, group) => connection.invoke("join", group),
    echo: (connection, value) => connection.invoke("echo", value),
    say: (connection, group, text) => connection.send("sayTo", group, text),
    identity: async (connection) => (await connection.invoke("whoami")).connectionId,
  },
  dotnet: {
    join: (connection, group) => connection.invoke("JoinGroup", group),
    echo: (connection, value) => connection.invoke("Echo", value),
    say: (connection, group, text) => connection.send("SendGroup", group, "said", text),
    identity: async (connection) => (await connection.invoke("Describe")).connectionId,
  },
}[hub];

/** A client that fails as soon as it is told of a cut. */
async function started(url) {
  const builder = new HubConnectionBuilder()
    .withUrl(url, { transport: HttpTransportType.WebSockets, accessTokenFactory: () => token })
    .configureLogging(LogLevel.None)
    .withAutomaticReconnect()
    .withStatefulReconnect();
  if (protocol === "messagepack") {
    builder.withHubProtocol(new MessagePackHubProtocol());
  }
  const connection = builder.build();
  connection.onreconnecting((error) => fail(`onreconnecting: ${error}`));
  connection.onclose((error) => error && fail(`onclose: ${error}`));
  await connection.start();
  return connection;
}

function fail(why) {
  console.error(`${hub} ${protocol}: ${why}`);
  process.exit(1);
}

/** Notes what is said in the group, and that each speaker's numbers come once and in order. */
function listener(connection, name) {
  const heard = { cut: 0, other: 0 };
  connection.on("said", (text) => {
    const [speaker, number] = text.split(" ");
    if (Number(number) !== heard[speaker]) {
      fail(`${name} hears ${speaker} say ${number} in place of ${heard[speaker]}`);
    }
    heard[speaker] += 1;
  });
  return heard;
}

/** Speaks and calls in turn until it is enough; gives how often it did. What is not acknowledged, for a second or two, has to find room. */
async function talk(connection, name, group, isEnough) {
  const calls = [];
  let number = 0;
  while (!isEnough()) {
    for (let each = 0; each < 3; each += 1) {
      // Some fit into one packet, and some do not.
      const filling = "x".repeat(number % 200 === 0 ? 3000 : number % 40);
      // It waits for room while it is cut off. Its words leave in the order in which they are said, whether one waits for them or not.
      methods.say(connection, group, `${name} ${number} ${filling}`).catch((error) => fail(`${name} says ${number}: ${error}`));
      number += 1;
    }
    const call = `call ${number}`;
    calls.push(methods.echo(connection, call).then((answer) => assert.equal(answer, call)));
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await Promise.all(calls);
  return { words: number, calls: calls.length };
}

const [cut, other] = [await started(cutUrl), await started(otherUrl)];
const group = `tea ${cut.connectionId}`;
const enough = once((resolve) => other.on("enough", resolve));
const identity = await methods.identity(cut);
assert.equal(identity, cut.connectionId);
cut.on("enough", () => {});
const heard = { cut: listener(cut, "cut"), other: listener(other, "other") };
await methods.join(cut, group);
await methods.join(other, group);
console.log("connected");
let over = false;
enough.then(() => {
  over = true;
});
const [byCut, byOther] = await Promise.all([
  talk(cut, "cut", group, () => over),
  talk(other, "other", group, () => over),
]);
await until(() => [heard.cut, heard.other].every((each) => each.cut === byCut.words && each.other === byOther.words));
assert.equal(cut.connectionId, identity);
assert.equal(await methods.identity(cut), identity, "the hub knows it by the same id");
await cut.stop();
await other.stop();
console.error(`${byCut.words + byOther.words} words, each heard twice, and ${byCut.calls + byOther.calls} calls`);
console.log("done");
