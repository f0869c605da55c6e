// A client whose hub decides itself who may come.
//
//   node sign_in.mjs URL TRANSPORT authorizer
//   node sign_in.mjs URL TRANSPORT provider TOKEN
//
// URL is the hub's own, below which it negotiates. `authorizer`: the door of `tests/guests/door` decides. `provider`: TOKEN is one of an
// identity provider's, of user `ann`. Says `done` at its end.

import assert from "node:assert/strict";
import { HttpTransportType, HubConnectionBuilder, LogLevel } from "@microsoft/signalr";
import { once } from "./wait.mjs";

const [url, transport, kind, token] = process.argv.slice(2);

function build(options) {
  const all = { transport: HttpTransportType[transport], ...options };
  return new HubConnectionBuilder().withUrl(url, all).configureLogging(LogLevel.None).build();
}

const signedIn =
  kind === "authorizer" ? { headers: { "x-user": "ann", "x-groups": "room" } } : { accessTokenFactory: () => token };
const refused =
  kind === "authorizer" ? { headers: { "x-user": "nobody" } } : { accessTokenFactory: () => `${token.slice(0, -8)}AAAAAAAA` };

const connection = build(signedIn);
for (const time of ["first", "second"]) {
  await connection.start();
  assert.equal((await connection.invoke("whoami")).userId, "ann", `the ${time} time`);
  if (kind === "authorizer") {
    const said = once((resolve) => connection.on("said", resolve));
    await connection.invoke("sayTo", "room", time);
    assert.equal(await said, time);
    connection.off("said");
  }
  await connection.stop();
}
await assert.rejects(build(refused).start(), kind === "authorizer" ? /403/ : /401/);
console.log("done");
