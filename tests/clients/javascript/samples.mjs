// The samples of examples/hubs with the unmodified SignalR client.
//
//   node samples.mjs SAMPLE URL
//
// Says each rule that it has seen to hold, and `done` at its end.

import assert from "node:assert/strict";
import { HubConnectionBuilder, LogLevel } from "@microsoft/signalr";
import { once, until } from "./wait.mjs";

const [sample, url] = process.argv.slice(2);
const connections = [];

const samples = {
  async shape() {
    const [mover, ...others] = await Promise.all([{}, {}, {}].map(() => started({ shapeMoved: "moves" }, pair)));
    const places = Array.from({ length: 600 }, (_, number) => [number, 600 - number]);
    await Promise.all(places.map(([x, y]) => mover.send("MoveShape", x, y)));
    for (const other of others) {
      await until(() => other.moves.length === places.length);
      assert.deepEqual(other.moves, places);
    }
    console.log("ten seconds of moves reach all others, in order");

    await assert.rejects(mover.invoke("MoveShape", "left", 0.5), /integer/);
    assert.deepEqual(mover.moves, []);
    assert.equal(others[0].moves.length, places.length);
    console.log("the mover hears nothing, and what is no place moves nothing");
  },

  async ask() {
    const [ann, bob, cem] = [await started({}), await started({}), await started({})];
    const everybody = connections.map(({ connectionId }) => connectionId).sort();
    assert.deepEqual((await ann.invoke("Everybody")).sort(), everybody);
    console.log("clients know of each other");

    bob.on("getMessage", async (asker) => `hello ${asker}`);
    assert.equal(await ann.invoke("WaitForMessage", bob.connectionId), `hello ${ann.connectionId}`);
    ann.on("getMessage", () => "to myself");
    assert.equal(await ann.invoke("WaitForMessage", ann.connectionId), "to myself");
    console.log("what the asked client gives is what the asker gets, also of itself");

    cem.on("getMessage", () => {
      throw new Error("I am asleep");
    });
    await assert.rejects(ann.invoke("WaitForMessage", cem.connectionId), /I am asleep/);
    await assert.rejects(ann.invoke("WaitForMessage", "nobody"), /The connection does not exist\./);
    bob.off("getMessage");
    bob.on("getMessage", () => new Promise(() => bob.stop()));
    await assert.rejects(ann.invoke("WaitForMessage", bob.connectionId), /The client left before it answered\./);
    console.log("an asked client's error, one that leaves, and one that is not there are told");
  },
};

const pair = (...values) => values;

/** A connection to the sample's hub; `heard` names the arrays of the connection that keep what it hears. */
async function started(heard, keep = (value) => value) {
  const connection = new HubConnectionBuilder().withUrl(`${url}/hubs/${sample}`).configureLogging(LogLevel.None).build();
  for (const [method, name] of Object.entries(heard)) {
    connection[name] = [];
    connection.on(method, (...values) => void connection[name].push(keep(...values)));
  }
  await connection.start();
  connections.push(connection);
  return connection;
}

await samples[sample]();
await Promise.all(connections.map((connection) => connection.stop()));
console.log("done");
