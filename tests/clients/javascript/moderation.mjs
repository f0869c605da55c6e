// Two users of a hub behind the filter of examples/moderation-ts, with the unmodified npm client.
//
//   node moderation.mjs URL ANN BOB          (tokens)

import assert from "node:assert/strict";
import * as signalR from "@microsoft/signalr";

const [url, ...tokens] = process.argv.slice(2);

async function connect(token) {
  const builder = new signalR.HubConnectionBuilder().withUrl(`${url}/client/?hub=probe`, { accessTokenFactory: () => token });
  const connection = builder.configureLogging(signalR.LogLevel.None).build();
  await connection.start();
  return connection;
}

const [ann, bob] = await Promise.all(tokens.map(connect));
assert.equal(await ann.invoke("echo", "Oh D4mn, a classic"), "Oh ****, a classic");
assert.deepEqual(await ann.invoke("echo", { deep: ["a son of a GUN"], n: 1 }), { deep: ["a ************"], n: 1 });
for (let time = 1; time <= 3; time++) assert.equal(await ann.invoke("echo", "Buy  this"), "Buy  this");
await assert.rejects(ann.invoke("echo", "buy this"), /You have said that several times/);
assert.equal(await ann.invoke("echo", "something else"), "something else");
assert.equal(await bob.invoke("echo", "buy this"), "buy this");
await Promise.all([ann.stop(), bob.stop()]);
console.log("done");
