// What `hubgate plugin build` gives scripts beside the language itself. Name it in tsconfig.json: "types": ["hubgate/globals"].

/** Writes into the plugin's log. */
declare var console: {
  debug(...values: unknown[]): void;
  log(...values: unknown[]): void;
  info(...values: unknown[]): void;
  warn(...values: unknown[]): void;
  error(...values: unknown[]): void;
  dir(value: unknown): void;
  trace(...values: unknown[]): void;
  assert(condition: unknown, ...values: unknown[]): void;
  count(label?: string): void;
};

/** Of UTF-8. */
interface TextEncoder {
  readonly encoding: "utf-8";
  encode(text?: string): Uint8Array;
  encodeInto(text: string, room: Uint8Array): { read: number; written: number };
}
declare var TextEncoder: { new (): TextEncoder; readonly prototype: TextEncoder };

/** Of UTF-8 alone. */
interface TextDecoder {
  readonly encoding: "utf-8";
  readonly fatal: boolean;
  readonly ignoreBOM: boolean;
  decode(input?: ArrayBuffer | ArrayBufferView, options?: { stream?: boolean }): string;
}
declare var TextDecoder: {
  new (label?: string, options?: { fatal?: boolean; ignoreBOM?: boolean }): TextDecoder;
  readonly prototype: TextDecoder;
};

/** Random bytes of the gateway's. */
declare var crypto: {
  getRandomValues<Numbers extends ArrayBufferView>(array: Numbers): Numbers;
  randomUUID(): string;
};

declare function structuredClone<Value>(value: Value, options?: { transfer?: ArrayBuffer[] }): Value;
/** Runs it when the handler's function has returned, before the caller is answered. */
declare function queueMicrotask(task: () => void): void;
declare function atob(text: string): string;
declare function btoa(bytes: string): string;
declare var performance: { now(): number; readonly timeOrigin: number };

interface DOMException extends Error {
  readonly code: number;
}
declare var DOMException: { new (message?: string, name?: string): DOMException; readonly prototype: DOMException };

interface URL {
  href: string;
  readonly origin: string;
  protocol: string;
  username: string;
  password: string;
  host: string;
  hostname: string;
  port: string;
  pathname: string;
  search: string;
  readonly searchParams: URLSearchParams;
  hash: string;
  toString(): string;
  toJSON(): string;
}
/** Host names beyond ASCII have to be written as xn--…. */
declare var URL: {
  new (url: string | URL, base?: string | URL): URL;
  canParse(url: string | URL, base?: string | URL): boolean;
  parse(url: string | URL, base?: string | URL): URL | null;
  readonly prototype: URL;
};

interface URLSearchParams extends Iterable<[string, string]> {
  readonly size: number;
  append(name: string, value: string): void;
  delete(name: string, value?: string): void;
  get(name: string): string | null;
  getAll(name: string): string[];
  has(name: string, value?: string): boolean;
  set(name: string, value: string): void;
  sort(): void;
  forEach(callback: (value: string, name: string, params: URLSearchParams) => void, self?: unknown): void;
  entries(): Iterator<[string, string]> & Iterable<[string, string]>;
  keys(): Iterator<string> & Iterable<string>;
  values(): Iterator<string> & Iterable<string>;
  toString(): string;
}
declare var URLSearchParams: {
  new (init?: string | Iterable<[string, string]> | Record<string, string>): URLSearchParams;
  readonly prototype: URLSearchParams;
};
