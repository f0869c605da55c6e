// The contract with the gateway in TypeScript; `hubgate plugin wit` writes the contract itself.

declare module "hubgate:plugin/types@0.1.0" {
  export type Pair = { name: string; value: string };
  export type Connection = { hub: string; id: string; userId: string | null };
  /** JSON text; or MessagePack, for plugins with `payload = "native"` alone. */
  export type Payload = { tag: "json"; val: string } | { tag: "msgpack"; val: Uint8Array };
  /** Thrown: `rejected` is for the client to see, `failed` for the log. */
  export type PluginError = { tag: "rejected" | "failed"; val: string };
  export type Target = { tag: "all" } | { tag: "group" | "user" | "connection"; val: string };
  export type Member = { tag: "connection" | "user"; val: string };
  export type Call = { target: string; arguments: Payload; wantsResult: boolean };
  export type Message = {
    kind: "invocation" | "stream-invocation" | "stream-item" | "completion";
    target: string | null;
    content: Payload | null;
    error: string | null;
  };
  export type Verdict =
    | { tag: "pass" }
    | { tag: "drop" }
    | { tag: "replace"; val: Message }
    | { tag: "reject" | "close"; val: string };
  export type Origin = { tag: "hub-server" | "plugin"; val: string } | { tag: "webhook" | "rest" | "management" };
  export type Delivery = { hub: string; to: Target[]; from: Origin };
}

declare module "hubgate:plugin/context@0.1.0" {
  import type { Pair } from "hubgate:plugin/types@0.1.0";
  const context: {
    now(): number;
    random(length: number): Uint8Array;
    eventId(): string;
    messageHeaders(): Pair[];
    timeLeft(): number;
  };
  export default context;
}

declare module "hubgate:plugin/config@0.1.0" {
  const config: { get(key: string): string | null };
  export default config;
}

declare module "hubgate:plugin/log@0.1.0" {
  import type { Pair } from "hubgate:plugin/types@0.1.0";
  const log: { write(level: "debug" | "info" | "warn" | "error", message: string, fields: Pair[]): void };
  export default log;
}

declare module "hubgate:plugin/connections@0.1.0" {
  import type { Pair } from "hubgate:plugin/types@0.1.0";
  const connections: {
    claims(id: string): Pair[] | null;
    query(id: string): string | null;
    headers(id: string): Pair[] | null;
    remoteAddress(id: string): string | null;
    protocol(id: string): string | null;
  };
  export default connections;
}

declare module "hubgate:plugin/hub@0.1.0" {
  import type { Member, Payload, Target } from "hubgate:plugin/types@0.1.0";
  export type Action =
    | { tag: "send"; val: { to: Target; method: string; arguments: Payload; except: string[] } }
    | { tag: "join"; val: { member: Member; group: string; ttlSeconds: number | null } }
    | { tag: "leave"; val: [Member, string] }
    | { tag: "leave-all"; val: Member }
    | { tag: "close"; val: { target: Target; except: string[]; reason: string | null; allowReconnect: boolean } };
  const hub: { submit(actions: Action[]): void; flush(): void; exists(target: Target): boolean };
  export default hub;
}

declare module "hubgate:plugin/state@0.1.0" {
  const state: {
    get(key: string): Uint8Array | null;
    set(key: string, value: Uint8Array, ttlMs: number | null): void;
    compareAndSet(key: string, expected: Uint8Array | null, value: Uint8Array | null, ttlMs: number | null): boolean;
    delete(key: string): void;
    increment(key: string, by: number, ttlMs: number | null): number;
    keys(prefix: string, after: string | null, limit: number): string[];
  };
  export default state;
}
