// Clients of the playground: connections to the gateway's listener for clients, as an application's page has them. They stay while other
// pages of the console are looked at, until whoever signed in closes them or signs out.

import { effect, signal } from "@preact/signals";
import { read, words } from "./api";
import { type Access, type Claims, accessOf, signer } from "./client_token";
import { session } from "./session";
import type { HubConnection, HubMessage } from "./signalr";
import type { Key } from "./types";

type Library = typeof import("./signalr");

/** Clients at once. */
export const MOST_CLIENTS = 6;
/** Lines that are kept of each. */
const MOST_LINES = 200;
/** The most that is shown of one line, in characters. */
const LONGEST_LINE = 4_000;

export type Transport = "WebSockets" | "ServerSentEvents" | "LongPolling";
export type Way = "invoke" | "send" | "stream";

export interface Wanted {
  hub: string;
  user: string;
  claims: Claims;
  transport: Transport;
  /** Instead of one that is made here; empty if that is wanted. */
  token: string;
}

export interface Line {
  id: number;
  at: number;
  /** From the gateway, to it, or what has come of something. */
  kind: "in" | "out" | "well" | "bad";
  what: string;
  text: string;
}

export const clients = signal<Client[]>([]);

let made = 0;

export class Client {
  readonly id = ++made;
  readonly state = signal<"connecting" | "connected" | "closed">("connecting");
  readonly lines = signal<Line[]>([]);
  /** Lines that are gone. */
  readonly dropped = signal(0);
  /** Streams that go on, and what ends each. */
  readonly streams = signal<{ id: number; method: string; end: () => void }[]>([]);
  #connection: HubConnection | null = null;
  #last = 0;

  constructor(
    readonly hub: string,
    readonly user: string,
  ) {}

  get name(): string {
    return `${this.user || "Nobody in particular"} (${this.id})`;
  }

  async connect(wanted: Wanted): Promise<void> {
    try {
      const [library, access] = await Promise.all([load(), accessTo(wanted)]);
      const token = wanted.token === "" ? await signer(access, wanted.hub, wanted.user, wanted.claims) : () => wanted.token;
      await this.#open(library, access, wanted, token);
    } catch (error) {
      this.say("bad", "not connected", words(error));
      this.#closed();
      throw error;
    }
  }

  async #open(library: Library, access: Access, { hub, transport }: Wanted, token: () => string | Promise<string>): Promise<void> {
    const connection = new library.HubConnectionBuilder()
      .withUrl(`${access.endpoint}/client/?hub=${encodeURIComponent(hub)}`, {
        transport: library.HttpTransportType[transport],
        // A WebSocket is not subject to CORS; negotiation is, with which other transports begin.
        skipNegotiation: transport === "WebSockets",
        withCredentials: false,
        accessTokenFactory: token,
      })
      .withHubProtocol(listening(library, (message) => this.#hear(library, message)))
      .configureLogging(library.LogLevel.None)
      .build();
    connection.onclose((error) => {
      this.say(error ? "bad" : "well", "closed", error ? words(error) : "");
      this.#closed();
    });
    if (this.state.value === "closed") {
      return;
    }
    this.#connection = connection;
    try {
      await connection.start();
    } catch (error) {
      throw new Error(`${words(error)} ${await whyRefused(access, hub, await token())}`);
    }
    this.state.value = "connected";
    this.say("well", "connected", transport);
  }

  /** Calls a method of the hub. */
  async call(way: Way, method: string, values: unknown[]): Promise<void> {
    const connection = this.#connection;
    if (!connection) {
      return;
    }
    this.say("out", `${way} ${method}`, JSON.stringify(values));
    if (way === "stream") {
      this.#stream(connection, method, values);
      return;
    }
    try {
      if (way === "send") {
        await connection.send(method, ...values);
      } else {
        this.say("well", `${method} answered`, text(await connection.invoke(method, ...values)));
      }
    } catch (error) {
      this.say("bad", `${method} failed`, words(error));
    }
  }

  #stream(connection: HubConnection, method: string, values: unknown[]): void {
    const id = ++this.#last;
    const over = () => {
      this.streams.value = this.streams.value.filter((stream) => stream.id !== id);
    };
    const subscription = connection.stream(method, ...values).subscribe({
      next: (item) => this.say("in", `item of ${method}`, text(item)),
      error: (error) => {
        this.say("bad", `stream ${method} failed`, words(error));
        over();
      },
      complete: () => {
        this.say("well", `stream ${method} is complete`, "");
        over();
      },
    });
    const end = () => {
      subscription.dispose();
      this.say("out", `stream ${method} ended`, "");
      over();
    };
    this.streams.value = [...this.streams.value, { id, method, end }];
  }

  /** What the gateway calls, whatever its name. */
  #hear(library: Library, message: HubMessage): void {
    if (message.type === library.MessageType.Invocation) {
      const isAsked = message.invocationId ? ", and asks for an answer, which the playground does not give" : "";
      this.say("in", `${message.target}${isAsked}`, JSON.stringify(message.arguments));
    }
  }

  say(kind: Line["kind"], what: string, said: string): void {
    const over = said.length - LONGEST_LINE;
    const kept = over > 0 ? `${said.slice(0, LONGEST_LINE)} … and ${over} characters more` : said;
    const lines = [...this.lines.value, { id: ++this.#last, at: Date.now(), kind, what, text: kept }];
    this.dropped.value += Math.max(0, lines.length - MOST_LINES);
    this.lines.value = lines.slice(-MOST_LINES);
  }

  #closed(): void {
    this.state.value = "closed";
    this.streams.value = [];
  }

  async disconnect(): Promise<void> {
    if (this.state.value === "connecting") {
      this.#closed();
    }
    await this.#connection?.stop();
  }
}

/** One more client; it is shown while it connects, and when it could not. */
export async function connect(wanted: Wanted): Promise<void> {
  if (clients.value.length >= MOST_CLIENTS) {
    throw new Error(`There are ${MOST_CLIENTS} clients: remove one first.`);
  }
  const client = new Client(wanted.hub, wanted.token === "" ? wanted.user : "a token's user");
  clients.value = [client, ...clients.value];
  await client.connect(wanted).catch(() => undefined);
}

export function remove(client: Client): void {
  clients.value = clients.value.filter((other) => other !== client);
  void client.disconnect();
}

/** Nobody stays connected whose operator has gone. */
export function startClients(): void {
  effect(() => {
    session.value;
    clients.peek().forEach(remove);
  });
}

function load(): Promise<Library> {
  return import("./signalr.js");
}

async function accessTo({ token }: Wanted): Promise<Access> {
  if (token !== "") {
    // Whose endpoint is what the token is for.
    return { endpoint: endpointOf(token), key: "" };
  }
  const { keys } = await read<{ keys: Key[] }>("admin/keys");
  return accessOf(keys[0]!.connectionString);
}

/** Where a token leads. */
export function endpointOf(token: string): string {
  try {
    const claims: unknown = JSON.parse(atob(token.split(".")[1]!.replaceAll("-", "+").replaceAll("_", "/")));
    const { aud } = claims as { aud: unknown };
    const [audience] = [aud].flat();
    const [endpoint] = String(audience).split("/client");
    return new URL(endpoint!).href.replace(/\/+$/, "");
  } catch {
    throw new Error("The token is none that a client of a hub brings.");
  }
}

/** A protocol that also tells what has come. */
function listening({ JsonHubProtocol }: Library, hear: (message: HubMessage) => void) {
  const json = new JsonHubProtocol();
  const parse = json.parseMessages.bind(json);
  json.parseMessages = (input, logger) => {
    const messages = parse(input, logger);
    messages.forEach(hear);
    return messages;
  };
  return json;
}

/** A browser does not say why a connection was refused; the gateway does, to pages that may read it. */
async function whyRefused({ endpoint }: Access, hub: string, token: string): Promise<string> {
  const origin = JSON.stringify(location.origin);
  try {
    const answer = await fetch(`${endpoint}/client/negotiate?hub=${encodeURIComponent(hub)}&negotiateVersion=1`, {
      method: "POST",
      headers: { Authorization: `Bearer ${token}` },
      credentials: "omit",
      signal: AbortSignal.timeout(10_000),
    });
    return answer.ok ? "" : (await answer.text()).trim().slice(0, LONGEST_LINE);
  } catch {
    return `The gateway's answer cannot be read here: either ${endpoint} is not reached from this browser, or hubs.${hub}.cors-origins does not have ${origin}.`;
  }
}

function text(value: unknown): string {
  return value === undefined ? "" : JSON.stringify(value);
}
