// The samples of examples/hubs with the unmodified SignalR client.
//
//   node samples.mjs SAMPLE URL
//
// Says each rule that it has seen to hold, and `done` at its end.

import assert from "node:assert/strict";
import { HubConnectionBuilder, LogLevel, Subject } from "@microsoft/signalr";
import { once, until } from "./wait.mjs";

const [sample, url] = process.argv.slice(2);
const connections = [];

const samples = {
  async chat() {
    const [ann, bob] = [await chatter(), await chatter()];
    await assert.rejects(ann.invoke("Join", "cellar", "Ann"), /There is no room 'cellar'\./);
    await assert.rejects(ann.invoke("Say", "Hello?"), /Join a room first\./);
    console.log("a room that is not there, and words of somebody in none, are refused");

    await ann.invoke("Join", "lobby", "Ann");
    await until(() => ann.people.join() === "Ann");
    await bob.invoke("Join", "lobby", "Bob");
    for (const member of [ann, bob]) await until(() => member.people.join() === "Ann,Bob");
    await bob.invoke("Join", "garden", "Robert");
    await until(() => ann.people.join() === "Ann" && bob.people.join() === "Robert");
    const cem = await chatter();
    await cem.invoke("Join", "lobby", "Cem");
    await until(() => ann.people.join() === "Ann,Cem");
    await cem.stop();
    await until(() => ann.people.join() === "Ann");
    console.log("members of a room are told who is there, whoever comes, moves or leaves");

    await ann.invoke("Say", "Tea?");
    await bob.invoke("Say", "Coffee!");
    assert.deepEqual(ann.said, [{ number: 1, name: "Ann", text: "Tea?" }]);
    assert.deepEqual(bob.said, [{ number: 1, name: "Robert", text: "Coffee!" }]);
    console.log("what is said is heard in its room, and in no other");

    for (let number = 2; number <= 60; number += 1) await ann.invoke("Say", `${number}`);
    await bob.invoke("Join", "lobby", "Bob");
    const history = await all(bob.stream("History"));
    assert.deepEqual(history, ann.said.slice(10), "the last fifty");
    console.log("whoever comes later is streamed what was said last");
  },

  async ticker() {
    const [ann, bob] = [await started({ updateStockPrice: "prices" }), await started({})];
    assert.equal(await ann.invoke("GetMarketState"), "Closed");
    const first = await ann.invoke("GetAllStocks");
    assert.deepEqual(first.map(({ symbol }) => symbol), ["TEA", "RICE", "GOLD"]);
    assert.deepEqual(await all(ann.stream("StreamStocks")), first);
    console.log("of a closed market there is one stream of its prices, which ends");

    const opened = once((resolve) => bob.on("marketOpened", resolve));
    const closed = once((resolve) => bob.on("marketClosed", resolve));
    const reset = once((resolve) => bob.on("marketReset", resolve));
    await ann.invoke("OpenMarket");
    await opened;
    assert.equal(await bob.invoke("GetMarketState"), "Open");
    await until(() => ann.prices.length >= 6);
    assert.deepEqual(ann.prices.slice(0, 6).map(({ symbol }) => symbol), ["TEA", "RICE", "GOLD", "TEA", "RICE", "GOLD"]);
    assert.ok(ann.prices.some(({ change }) => change !== 0));
    for (const { price, dayOpen, dayLow, dayHigh, change } of ann.prices) {
      assert.ok(dayLow <= price && price <= dayHigh);
      assert.ok(Math.abs(price - dayOpen - change) < 0.001);
    }
    console.log("while the market is open a timer moves the prices for everybody");

    const [old, own, other] = [listen(ann), listen(ann), listen(bob)];
    await old.ended;
    const ofOld = old.items.length;
    for (const stream of [own, other]) await until(() => stream.items.length >= 9);
    assert.equal(old.items.length, ofOld);
    assert.deepEqual(own.items.slice(0, 3).map(({ symbol }) => symbol), ["TEA", "RICE", "GOLD"]);
    console.log("each client has one stream of them: its next one ends the last");

    await assert.rejects(ann.invoke("Reset"), /Market must be closed before it can be reset\./);
    await ann.invoke("CloseMarket");
    await Promise.all([own.ended, other.ended, closed]);
    await ann.invoke("Reset");
    await reset;
    assert.deepEqual(await bob.invoke("GetAllStocks"), first);
    console.log("a market that closes ends the streams, and can then be reset");
  },

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

  async upload() {
    const connection = await started({ progress: "progress" }, pair);
    const piece = (bytes) => Buffer.alloc(bytes).toString("base64");
    const upload = (name) => {
      const pieces = new Subject();
      return { pieces, arrived: connection.invoke("UploadFile", name, pieces) };
    };

    const one = upload("one");
    for (const bytes of [1000, 1, 2]) one.pieces.next(piece(bytes));
    await until(() => connection.progress.length === 3);
    one.pieces.complete();
    assert.equal(await one.arrived, 1003);
    assert.deepEqual(connection.progress, [["one", 1000], ["one", 1001], ["one", 1003]]);
    console.log("each piece is progress, before the end, and the answer is the number of bytes");

    const [two, three] = [upload("two"), upload("three")];
    for (let number = 0; number < 100; number += 1) for (const { pieces } of [two, three]) pieces.next(piece(100));
    three.pieces.next(piece(1));
    for (const { pieces } of [two, three]) pieces.complete();
    assert.deepEqual(await Promise.all([two.arrived, three.arrived]), [10_000, 10_001]);
    console.log("files that come at once are counted apart");

    const empty = upload("empty");
    empty.pieces.complete();
    assert.equal(await empty.arrived, 0);
    const broken = upload("broken");
    broken.pieces.next(piece(10));
    broken.pieces.error("the disk is gone");
    await assert.rejects(broken.arrived, /the disk is gone/);
    const odd = upload("odd");
    odd.pieces.next(7);
    await assert.rejects(odd.arrived, /A piece is a text in base64\./);
    console.log("a file without a byte has none; one that breaks off, and one that is no text, have an error");
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

async function chatter() {
  const connection = await started({ said: "said" });
  connection.people = [];
  connection.on("peopleChanged", async () => {
    // One that is stopped hears no answer.
    const names = await connection.invoke("People").catch(() => []);
    connection.people = names.sort();
  });
  return connection;
}

/** What a stream gives, so far and at its end. */
function listen(connection, method = "StreamStocks") {
  const items = [];
  const ended = new Promise((complete, error) => connection.stream(method).subscribe({ next: (item) => items.push(item), complete, error }));
  return { items, ended };
}

async function all(stream) {
  const items = [];
  await new Promise((complete, error) => stream.subscribe({ next: (item) => items.push(item), complete, error }));
  return items;
}

await samples[sample]();
await Promise.all(connections.map((connection) => connection.stop()));
console.log("done");
