// The contract with the gateway as it stands; `hubgate plugin wit` writes it in its own language. What is not there is null. An
// error of an import is thrown: an `Error` whose `payload` is the contract's error.

declare module "hubgate:plugin/types@0.1.0" {
  /** A header, claim, query item or configuration value. A name may repeat. */
  export interface Pair {
    name: string;
    value: string;
  }
  /** Whom an event is about; `connections` knows the rest. */
  export interface Connection {
    hub: string;
    id: string;
    userId: string | null;
  }
  /** JSON text; or one MessagePack value, for plugins with `payload = "native"` alone. */
  export type Payload = { tag: "json"; val: string } | { tag: "msgpack"; val: Uint8Array };
  /** Thrown: `rejected` is for the client to see, `failed` for the log. */
  export type PluginError = { tag: "rejected" | "failed"; val: string };
  export type Target = { tag: "all" } | { tag: "group" | "user" | "connection"; val: string };
  export type Member = { tag: "connection" | "user"; val: string };
}

declare module "hubgate:plugin/context@0.1.0" {
  import type { Pair } from "hubgate:plugin/types@0.1.0";
  /** Milliseconds since 1970; the same during one call, and when the call is replayed. */
  export function now(): number;
  /** At most 65,536 bytes at a time. */
  export function random(length: number): Uint8Array;
  /** Unique per event; the same when the event is replayed. */
  export function eventId(): string;
  /** Headers of the hub message, `traceparent` among them. */
  export function messageHeaders(): Pair[];
  /** Milliseconds until the gateway gives this call up. */
  export function timeLeft(): number;
  const context: {
    now: typeof now;
    random: typeof random;
    eventId: typeof eventId;
    messageHeaders: typeof messageHeaders;
    timeLeft: typeof timeLeft;
  };
  export default context;
}

declare module "hubgate:plugin/config@0.1.0" {
  /** A value of `plugins.NAME.config` in the gateway's configuration, or null. */
  export function get(key: string): string | null;
  const config: { get: typeof get };
  export default config;
}

declare module "hubgate:plugin/log@0.1.0" {
  import type { Pair } from "hubgate:plugin/types@0.1.0";
  export type Level = "debug" | "info" | "warn" | "error";
  export function write(level: Level, message: string, fields: Pair[]): void;
  const log: { write: typeof write };
  export default log;
}

declare module "hubgate:plugin/connections@0.1.0" {
  import type { Pair } from "hubgate:plugin/types@0.1.0";
  /** All are null for a connection that is gone; in its own `disconnected` it is still there. */
  export function claims(id: string): Pair[] | null;
  export function query(id: string): string | null;
  export function headers(id: string): Pair[] | null;
  export function remoteAddress(id: string): string | null;
  /** `json` or `messagepack`. */
  export function protocol(id: string): string | null;
  const connections: {
    claims: typeof claims;
    query: typeof query;
    headers: typeof headers;
    remoteAddress: typeof remoteAddress;
    protocol: typeof protocol;
  };
  export default connections;
}

declare module "hubgate:plugin/hub@0.1.0" {
  import type { Member, Payload, Target } from "hubgate:plugin/types@0.1.0";
  export interface Message {
    to: Target;
    method: string;
    arguments: Payload;
    except: string[];
  }
  export interface Membership {
    member: Member;
    group: string;
    ttlSeconds: number | null;
  }
  export interface Closing {
    target: Target;
    except: string[];
    reason: string | null;
    allowReconnect: boolean;
  }
  export type Action =
    | { tag: "send"; val: Message }
    | { tag: "join"; val: Membership }
    | { tag: "leave"; val: [Member, string] }
    | { tag: "leave-all"; val: Member }
    | { tag: "close"; val: Closing };
  /** Queues all of the actions or none. Throws `{ index, reason }` for one that is invalid. */
  export function submit(actions: Action[]): void;
  /** Runs what is queued now. */
  export function flush(): void;
  /** Throws a text. */
  export function exists(target: Target): boolean;
  const hub: { submit: typeof submit; flush: typeof flush; exists: typeof exists };
  export default hub;
}

declare module "hubgate:plugin/state@0.1.0" {
  /** Thrown by all functions. */
  export type StateError = { tag: "too-large" } | { tag: "quota" } | { tag: "unavailable"; val: string };
  export function get(key: string): Uint8Array | null;
  export function set(key: string, value: Uint8Array, ttlMs: number | null): void;
  export function compareAndSet(key: string, expected: Uint8Array | null, value: Uint8Array | null, ttlMs: number | null): boolean;
  export function increment(key: string, by: number, ttlMs: number | null): number;
  export function keys(prefix: string, after: string | null, limit: number): string[];
  const state: {
    get: typeof get;
    set: typeof set;
    compareAndSet: typeof compareAndSet;
    delete(key: string): void;
    increment: typeof increment;
    keys: typeof keys;
  };
  export default state;
}

/** Of the worlds `whole-hub` and `whole-hub-with-http` alone. */
declare module "hubgate:plugin/streams@0.1.0" {
  import type { Payload, PluginError } from "hubgate:plugin/types@0.1.0";
  /** How many items, and bytes of them, may still be pushed before the client has taken some. */
  export interface Room {
    items: number;
    bytes: number;
  }
  /** Thrown by both functions. */
  export type PushError = { tag: "no-such-stream" | "too-large" } | { tag: "full"; val: Room } | { tag: "invalid"; val: string };
  export type Outcome = { tag: "ok"; val: Payload | null } | { tag: "err"; val: PluginError };
  /** All items or none. After `full`, `upstreamStreams.writable` is called once there is room. An answer that comes too late is `invalid`, and whether it was done is unknown. */
  export function push(id: string, items: Payload[]): Room;
  /** Ends a stream, or answers an invocation that `begin` left open. */
  export function finish(id: string, outcome: Outcome): void;
  const streams: { push: typeof push; finish: typeof finish };
  export default streams;
}

/** Of the worlds `whole-hub` and `whole-hub-with-http` alone. */
declare module "hubgate:plugin/client-results@0.1.0" {
  import type { Payload } from "hubgate:plugin/types@0.1.0";
  /** Thrown by `ask`. */
  export type AskError = { tag: "no-such-connection" | "timed-out" | "left" | "busy" } | { tag: "failed"; val: string };
  /** Null is the answer of a client that answers without a value. */
  export function ask(connection: string, method: string, values: Payload, timeoutMs: number): Payload | null;
  const clientResults: { ask: typeof ask };
  export default clientResults;
}

/** Of the worlds `whole-hub` and `whole-hub-with-http` alone. */
declare module "hubgate:plugin/timers@0.1.0" {
  /** Milliseconds: from now, since 1970, or between two times. */
  export type Schedule = { tag: "after" | "at" | "every"; val: number };
  export interface Timer {
    name: string;
    when: Schedule;
    due: number;
    payload: Uint8Array;
    durable: boolean;
  }
  /** Thrown by all functions. */
  export type TimerError = { tag: "too-many" | "too-short" | "too-large" } | { tag: "unavailable"; val: string };
  export function set(name: string, when: Schedule, payload: Uint8Array, durable: boolean): void;
  /** Says whether there was one. */
  export function cancel(name: string): boolean;
  /** By name, after `after`. */
  export function list(after: string | null, limit: number): Timer[];
  const timers: { set: typeof set; cancel: typeof cancel; list: typeof list };
  export default timers;
}

/** Of the worlds `whole-hub` and `whole-hub-with-http` alone. */
declare module "hubgate:plugin/presence@0.1.0" {
  import type { Target } from "hubgate:plugin/types@0.1.0";
  export interface PresentMember {
    connection: string;
    userId: string | null;
  }
  /** Thrown by `watch` and `unwatch`; the others throw a text. */
  export type WatchError = { tag: "too-many" } | { tag: "invalid"; val: string };
  export function count(target: Target): number;
  export function members(group: string, after: string | null, limit: number): PresentMember[];
  export function connections(user: string, after: string | null, limit: number): string[];
  export function watch(group: string): void;
  export function unwatch(group: string): void;
  const presence: {
    count: typeof count;
    members: typeof members;
    connections: typeof connections;
    watch: typeof watch;
    unwatch: typeof unwatch;
  };
  export default presence;
}

/** Of the worlds whose names end with `-with-http` alone. */
declare module "hubgate:plugin/http@0.1.0" {
  import type { Pair } from "hubgate:plugin/types@0.1.0";
  export interface Request {
    method: string;
    url: string;
    headers: Pair[];
    body: Uint8Array;
    timeoutMs: number | null;
  }
  export interface Response {
    status: number;
    headers: Pair[];
    body: Uint8Array;
  }
  /** Thrown by `send`. */
  export type HttpError = { tag: "denied" | "failed"; val: string } | { tag: "timed-out" | "too-large" };
  export function send(request: Request): Response;
  const http: { send: typeof send };
  export default http;
}

/** What a script exports as `lifecycle`. */
declare module "hubgate:plugin/lifecycle@0.1.0" {
  export interface Lifecycle {
    /** Once for each new instance. A text that is thrown keeps the plugin from serving. */
    init(): void;
  }
}

/** What a handler exports as `upstream`. */
declare module "hubgate:plugin/upstream@0.1.0" {
  import type { Connection, Payload } from "hubgate:plugin/types@0.1.0";
  export interface Invocation {
    target: string;
    arguments: Payload;
    wantsResult: boolean;
  }
  /** Each throws a `PluginError`. */
  export interface Upstream {
    connected(client: Connection): void;
    disconnected(client: Connection, reason: string | null): void;
    invoke(client: Connection, call: Invocation): Payload | null;
  }
}

/** What a whole hub exports as `upstreamStreams`. */
declare module "hubgate:plugin/upstream-streams@0.1.0" {
  import type { Room } from "hubgate:plugin/streams@0.1.0";
  import type { Connection, Payload } from "hubgate:plugin/types@0.1.0";
  export type Answer = "items" | "value" | "nothing";
  /** `id`: for `streams`. `uploads`: the ids of the streams that come with the call. `answer`: what the client waits for. */
  export interface Opening {
    id: string;
    target: string;
    arguments: Payload;
    uploads: string[];
    answer: Answer;
  }
  /** `begin`, `item` and `ended` throw a `PluginError`. */
  export interface UpstreamStreams {
    begin(client: Connection, opening: Opening): void;
    writable(client: Connection, id: string, room: Room): void;
    cancelled(client: Connection, id: string): void;
    item(client: Connection, upload: string, item: Payload): void;
    ended(client: Connection, upload: string, error: string | null): void;
  }
}

/** What a whole hub exports as `scheduled`. */
declare module "hubgate:plugin/scheduled@0.1.0" {
  export interface Scheduled {
    /** Throws a text. */
    fired(hub: string, name: string, payload: Uint8Array): void;
  }
}

/** What a whole hub exports as `presenceEvents`. */
declare module "hubgate:plugin/presence-events@0.1.0" {
  import type { PresentMember } from "hubgate:plugin/presence@0.1.0";
  export interface PresenceEvents {
    /** Throws a text. */
    changed(hub: string, group: string, joined: PresentMember[], left: PresentMember[]): void;
  }
}

/** What a whole hub exports as `hubLifetime`. */
declare module "hubgate:plugin/hub-lifetime@0.1.0" {
  export interface HubLifetime {
    /** Throws a text. */
    started(hub: string): void;
  }
}

/** What a whole hub and a negotiator export as `authorizer`. */
declare module "hubgate:plugin/authorizer@0.1.0" {
  import type { Pair } from "hubgate:plugin/types@0.1.0";
  export interface AuthorizeRequest {
    hub: string;
    headers: Pair[];
    query: Pair[];
    remoteAddress: string;
  }
  export interface Grant {
    userId: string | null;
    claims: Pair[];
    groups: string[];
    lifetimeSeconds: number | null;
  }
  /** Thrown by `authorize`. */
  export type Refusal = { tag: "unauthorized" | "forbidden" | "failed"; val: string };
  export interface Authorizer {
    authorize(request: AuthorizeRequest): Grant;
  }
}

declare module "hubgate:plugin/filtering@0.1.0" {
  import type { Payload, Target } from "hubgate:plugin/types@0.1.0";
  export type Kind = "invocation" | "stream-invocation" | "stream-item" | "completion";
  /** `content`: the arguments of a call (one array), an item, or a result; null for a completion without one. */
  export interface Message {
    kind: Kind;
    target: string | null;
    content: Payload | null;
    error: string | null;
  }
  export type Verdict =
    | { tag: "pass" }
    | { tag: "drop" }
    | { tag: "replace"; val: Message }
    | { tag: "reject" | "close"; val: string };
  export type Origin = { tag: "hub-server" | "plugin"; val: string } | { tag: "webhook" | "rest" | "management" };
  export interface Delivery {
    hub: string;
    to: Target[];
    from: Origin;
  }
}

/** What a filter exports as `inboundFilter`. */
declare module "hubgate:plugin/inbound-filter@0.1.0" {
  import type { Message, Verdict } from "hubgate:plugin/filtering@0.1.0";
  import type { Connection } from "hubgate:plugin/types@0.1.0";
  export interface InboundFilter {
    inspect(client: Connection, message: Message): Verdict;
  }
}

/** What a filter exports as `outboundFilter`. */
declare module "hubgate:plugin/outbound-filter@0.1.0" {
  import type { Delivery, Message, Verdict } from "hubgate:plugin/filtering@0.1.0";
  export interface OutboundFilter {
    inspect(delivery: Delivery, message: Message): Verdict;
  }
}
