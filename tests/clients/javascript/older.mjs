// What older SignalR clients do against a gateway with the probe as upstream of hub `probe` and the probe of a whole hub as that of
// `streams`, in Node.js.
//
//   node older.mjs CLIENT MESSAGEPACK URL TOKEN
//
// CLIENT and MESSAGEPACK are packages, URL the gateway's base URL, TOKEN one for user `ann` of hub `probe`. Says each thing that was
// done in each way, as `TRANSPORT | PROTOCOL | FEATURE`, and `done`.

import { smoke, WAYS } from "./smoke.mjs";

const [client, messagePack, url, token] = process.argv.slice(2);
const signalR = await import(client);
const { MessagePackHubProtocol } = await import(messagePack);

for (const [transport, protocol] of WAYS) {
  for (const feature of await smoke(signalR, MessagePackHubProtocol, { url, token, transport, protocol })) {
    console.log(`${transport} | ${protocol} | ${feature}`);
  }
}
console.log("done");
