// An unmodified client that asks for a stream, which an application sends with the REST API.
//
//   node rest_stream.mjs URL HUB METHOD TRANSPORT PROTOCOL TOKEN
//
// Says `connected`, a line for each item, and how the stream has ended.

import { HttpTransportType, HubConnectionBuilder, LogLevel } from "@microsoft/signalr";
import { MessagePackHubProtocol } from "@microsoft/signalr-protocol-msgpack";

const [url, hub, method, transport, protocol, token] = process.argv.slice(2);
const options = { transport: HttpTransportType[transport], accessTokenFactory: () => token };
const builder = new HubConnectionBuilder().withUrl(`${url}/client/?hub=${hub}`, options).configureLogging(LogLevel.Warning);
if (protocol === "messagepack") {
  builder.withHubProtocol(new MessagePackHubProtocol());
}
const connection = builder.build();
await connection.start();
console.log("connected");
const end = new Promise((resolve) =>
  connection.stream(method, 1, "two").subscribe({
    next: (item) => console.log(`item ${JSON.stringify(item)}`),
    complete: () => resolve("complete"),
    error: (error) => resolve(`error ${error.message}`),
  }),
);
console.log(await end);
await connection.stop();
console.log("done");
