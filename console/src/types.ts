// What the admin API answers, as docs/admin-api.md has it.

/** What the token is good for, and at which gateway. */
export interface Session {
  token: "admin" | "read";
  readOnly: boolean;
  version: string;
  node: string | null;
}

export type Mode = "default" | "serverless" | "classic";

export interface Hub {
  mode: Mode;
  clients: number;
  waitingClients: number;
  serverConnections: number;
}

/** `*` is all. */
type Names = "*" | string[];

/** What the configuration says of a hub. */
export interface HubSettings {
  /** The first that matches an event gets it. */
  upstream: { plugin: string | null; webhook: string | null; categories: Names; events: Names }[];
  filters: { plugin: string; methods: string[] | null; failing: "closed" | "open" }[];
  /** 0 is no limit. */
  messagesPerSecond: number;
  corsOrigins: string[];
  signIn: { by: "nobody" } | { by: "anybody" } | { by: "plugin"; plugin: string } | { by: "jwt"; anonymous: boolean };
  closesOnExpiry: boolean;
}

export interface HubInFull extends Hub {
  settings: HubSettings;
}

export interface Plugin {
  name: string;
  generation: number;
  digest: string | null;
  state: string;
  loadedAt: string | null;
  calls: number;
  traps: number;
  memoryBytes: number;
  rolledBackFrom: string | null;
  /** What a rollback would bring back. */
  previous: string | null;
  /** Hubs that the configuration uses it for; `*` for those that it does not name. */
  hubs: { handler: string[]; filter: string[]; authorizer: string[] };
  limits: { memoryBytes: number; callSeconds: number; cpuSeconds: number; concurrency: number; stateBytes: number; timers: number };
  lastError: { reason: string; at: string } | null;
}

/** A line of the log about a plugin. */
export interface LogLine {
  at: string;
  level: "error" | "warn" | "info" | "debug" | "trace";
  text: string;
}

export interface Connection {
  id: string;
  hub: string;
  user: string | null;
  transport: string;
  protocol: string;
  connectedAt: string;
  queuedBytes: number;
  node: string | null;
}

export interface Node {
  node: string;
  version: string;
  clients: number;
  lagSeconds: number;
  heardSecondsAgo?: number;
  differs?: string[];
}

export interface Cluster {
  node: string;
  name?: string;
  joined?: boolean;
  degraded: boolean;
  nodes: Node[];
}

export interface Key {
  key: "primary" | "secondary";
  connectionString: string;
}

/** What a change of a hub's mode closes, and how long that takes. */
export interface ModeChange {
  closes: number;
  seconds: number;
}
