// Unmodified clients of serverless hubs whose upstream is replaced while they are connected.
//
//   node replaced.mjs URL HUB...
//
// Each hub has a client for each way to connect. All call `echo` on and on, and each leaves when `version` is answered, which
// only the component does. Says `connected` when all are, `HUB replaced` when the clients of a hub are answered by the
// component, and `done` when all have left and no connection was ever lost.

import assert from "node:assert/strict";
import { HttpTransportType, HubConnectionBuilder, LogLevel } from "@microsoft/signalr";
import { MessagePackHubProtocol } from "@microsoft/signalr-protocol-msgpack";

const [url, ...hubs] = process.argv.slice(2);
const ways = [
  ["WebSockets", "json"],
  ["WebSockets", "messagepack"],
  ["ServerSentEvents", "json"],
  ["LongPolling", "messagepack"],
];

async function connect(hub, [transport, protocol]) {
  const builder = new HubConnectionBuilder()
    .withUrl(`${url}/hubs/${hub}`, { transport: HttpTransportType[transport] })
    .configureLogging(LogLevel.None);
  if (protocol === "messagepack") {
    builder.withHubProtocol(new MessagePackHubProtocol());
  }
  const connection = builder.build();
  connection.onclose((error) => assert.equal(connection.mayClose, true, `${hub} ${transport}: ${error}`));
  await connection.start();
  return connection;
}

let number = 0;

async function callUntilReplaced(connection) {
  for (;;) {
    const calls = Array.from({ length: 5 }, () => (number += 1));
    assert.deepEqual(await Promise.all(calls.map((each) => connection.invoke("echo", each))), calls);
    const version = await connection.invoke("version").catch((error) => {
      assert.match(error.message, /status code 404/);
    });
    if (version !== undefined) {
      assert.equal(version, "1");
      return;
    }
  }
}

const connections = await Promise.all(hubs.map((hub) => Promise.all(ways.map((way) => connect(hub, way)))));
console.log("connected");
await Promise.all(
  hubs.map(async (hub, index) => {
    await Promise.all(connections[index].map(callUntilReplaced));
    console.log(`${hub} replaced`);
  }),
);
for (const connection of connections.flat()) {
  assert.equal(await connection.invoke("echo", "the last call"), "the last call");
  connection.mayClose = true;
  await connection.stop();
}
console.log("done");
