// Clients of a hub whose mode changes while they call it and are told numbers.
//
//   node mode_tour.mjs URL TOKEN
//
// Says `all: WHO` whenever all clients have come to be answered by the same: `server`, `upstream` or `nobody`. Ends when it is told
// so, if every call that was completed had the right result, and no number was missed while a connection lasted.

import assert from "node:assert/strict";
import { HubConnectionBuilder, HttpTransportType, LogLevel } from "@microsoft/signalr";

const [url, token] = process.argv.slice(2);
const CLIENTS = 8;
let isOver = false;

class Client {
  completed = { server: 0, upstream: 0, nobody: 0 };
  answered = undefined;
  last = undefined;
  heard = 0;

  constructor(number) {
    const transport = [HttpTransportType.WebSockets, HttpTransportType.ServerSentEvents, HttpTransportType.LongPolling][number % 3];
    this.connection = new HubConnectionBuilder()
      .withUrl(`${url}/client/?hub=chat`, { transport, accessTokenFactory: () => token })
      .withAutomaticReconnect({ nextRetryDelayInMilliseconds: () => 100 })
      .configureLogging(LogLevel.None)
      .build();
    this.connection.onreconnecting(() => (this.answered = undefined));
    this.connection.onreconnected(() => (this.last = undefined));
    this.connection.on("number", (next) => {
      if (this.last !== undefined) {
        assert.equal(next, this.last + 1, "each number comes once, in order, as long as the connection lasts");
      }
      this.last = next;
      this.heard += 1;
    });
    this.connection.on("end", () => (isOver = true));
  }

  async run(number) {
    await this.connection.start();
    for (let call = 0; !isOver; call += 1) {
      const text = `${number}.${call}`;
      try {
        const who = await this.connection.invoke("WhereAmI").then(() => "server", whoFails);
        assert.equal(await this.connection.invoke("echo", text), text, "a call that is completed has the right result");
        this.note(who);
      } catch (error) {
        this.note(whoFails(error));
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await this.connection.stop();
  }

  note(who) {
    this.answered = who;
    if (who) {
      this.completed[who] += 1;
    }
    tell();
  }
}

/** Who it is that does not know a call; undefined if the connection was lost meanwhile. */
function whoFails(error) {
  if (error instanceof assert.AssertionError) {
    throw error;
  }
  if (/no hub server was connected/.test(error.message)) {
    return "nobody";
  }
  return /invoking 'WhereAmI'|WhereAmI/.test(error.message) ? "upstream" : undefined;
}

let told;

function tell() {
  const who = clients[0].answered;
  if (who && who !== told && clients.every((client) => client.answered === who)) {
    told = who;
    console.log(`all: ${who}`);
  }
}

const clients = Array.from({ length: CLIENTS }, (_, number) => new Client(number));
await Promise.all(clients.map((client, number) => client.run(number)));
for (const client of clients) {
  assert.ok(Object.values(client.completed).every((count) => count > 0), JSON.stringify(client.completed));
  assert.ok(client.heard > 0, "it was told numbers");
}
console.log("done");
