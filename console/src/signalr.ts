// The client library, a file of its own: only the playground needs it, and loads it when somebody connects.

export { HttpTransportType, HubConnectionBuilder, JsonHubProtocol, LogLevel, MessageType } from "@microsoft/signalr";
export type { HubConnection, HubMessage, IHubProtocol } from "@microsoft/signalr";
