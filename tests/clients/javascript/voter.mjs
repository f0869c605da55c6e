// A voter of examples/poll with the unmodified SignalR client.
//
//   node voter.mjs CLIENT URL TRANSPORT PROTOCOL TOKEN
//
// When the hub calls `yourTurn(choice)`, it votes and asks which language answers. It says in lines what it gets.

const [client, url, transport, protocol, token] = process.argv.slice(2);
const { HubConnectionBuilder, HttpTransportType, LogLevel } = await import(client);
const { MessagePackHubProtocol } = await import(client === "signalr-7" ? "msgpack-7" : `${client}-protocol-msgpack`);

const options = { transport: HttpTransportType[transport], accessTokenFactory: () => token };
const builder = new HubConnectionBuilder().withUrl(`${url}/client/?hub=poll`, options).configureLogging(LogLevel.Warning);
if (protocol === "messagepack") {
  builder.withHubProtocol(new MessagePackHubProtocol());
}
const connection = builder.build();
connection.on("counts", (counts) => console.log(`counts ${JSON.stringify(counts)}`));
connection.on("yourTurn", async (choice) => {
  try {
    console.log(`voted ${JSON.stringify(await connection.invoke("vote", choice))}`);
  } catch (error) {
    console.log(`refused ${error.message}`);
  }
  console.log(`answered by ${await connection.invoke("language")}`);
});
connection.on("goHome", () => connection.stop());
connection.onclose((error) => console.log(error ? `closed ${error.message}` : "done"));
await connection.start();
console.log("connected");
