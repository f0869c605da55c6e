/// <reference path="./contract.d.ts" />

import type { Delivery, Kind, Message as RawMessage, Verdict } from "hubgate:plugin/filtering@0.1.0";
import type { InboundFilter } from "hubgate:plugin/inbound-filter@0.1.0";
import type { Lifecycle } from "hubgate:plugin/lifecycle@0.1.0";
import type { OutboundFilter } from "hubgate:plugin/outbound-filter@0.1.0";
import type { Connection, Payload } from "hubgate:plugin/types@0.1.0";
import type { Invocation, Upstream } from "hubgate:plugin/upstream@0.1.0";

export type { Delivery, Kind, Origin, Verdict } from "hubgate:plugin/filtering@0.1.0";
export type { Connection, Member, Pair, Payload, Target } from "hubgate:plugin/types@0.1.0";
export type { Invocation } from "hubgate:plugin/upstream@0.1.0";

export { default as config } from "hubgate:plugin/config@0.1.0";
export { default as connections } from "hubgate:plugin/connections@0.1.0";
export { default as context } from "hubgate:plugin/context@0.1.0";
export * as hub from "./hub.js";
export * as log from "./log.js";
export { AuthorizeRequest, forbidden, negotiator, unauthorized, type Grant, type NegotiatorParts } from "./negotiator.js";
export * as state from "./state.js";

/** Refuses: the client sees the text. */
export function reject(text: string): never;
/** Gives up: the log gets the text, and the client is told that it did not work. */
export function fail(text: string): never;
/** Of a filter: nobody gets the message. Who waits for an answer gets an error. */
export function drop(): never;
/** Of a filter: nobody gets the message, and the connection is closed with the text. */
export function close(text: string): never;

/** A value as a payload of JSON. */
export function json(value: unknown): Payload;
/** The bytes of one MessagePack value as a payload. */
export function msgpack(bytes: Uint8Array): Payload;

/** What a method gives: a value of JSON for the caller, or nothing. */
export type Method = (client: Connection, ...values: any[]) => unknown;

export interface HandlerParts {
  /** Runs once in each new instance. A text that is thrown, or `fail`, keeps the plugin from serving. */
  init?(): void;
  /** Decides whether a client may come: `reject` refuses it with a text. */
  connected?(client: Connection): void;
  /** A client is gone; `reason` is there if it did not leave by itself. */
  disconnected?(client: Connection, reason: string | null): void;
  /** What clients call, by name. Each gets the client and the arguments as the client sent them: check them, or use `takes`. */
  methods?: Record<string, Method>;
  /** Calls that `methods` has nothing for, and all in MessagePack, as they came. */
  invoke?(client: Connection, call: Invocation): Payload | null | undefined;
}

/**
 * What a script exports that is a handler: `export const { lifecycle, upstream } = handler({ … })`. Variables of a script are
 * a cache that may vanish between two calls: what must stay belongs into `state`.
 */
export function handler(parts: HandlerParts): { lifecycle: Lifecycle; upstream: Upstream };

interface ValueOfKind {
  string: string;
  integer: number;
  number: number;
  boolean: boolean;
  object: Record<string, unknown>;
  array: unknown[];
  any: unknown;
}
type KindName = keyof ValueOfKind;
type ValueOf<Name> = Name extends KindName ? ValueOfKind[Name] : Name extends `${infer Plain extends KindName}?` ? ValueOfKind[Plain] | null | undefined : never;
/** What `takes` takes. */
export type Kinds = readonly (KindName | `${KindName}?`)[];
/** What the method gets then. */
export type ValuesOf<Names extends readonly unknown[]> = { -readonly [At in keyof Names]: ValueOf<Names[At]> };

/**
 * A method that is called only with arguments of these kinds: "string", "integer" (up to 2^53), "number", "boolean", "object",
 * "array" or "any"; a kind that ends with `?` may be missing or null. Others are refused with a text for the client.
 */
export function takes<const Names extends Kinds>(
  kinds: Names,
  method: (client: Connection, ...values: ValuesOf<Names>) => unknown,
): Method;

/** Nothing lets the message pass. */
export type Look = Message | Verdict | null | undefined | void;

export interface FilterParts {
  /** Runs once in each new instance. A text that is thrown, or `fail`, keeps the plugin from serving. */
  init?(): void;
  /** Looks at what a client says. */
  inbound?(client: Connection, message: Message): Look;
  /** Looks at what is sent to clients, once whomever it is for. */
  outbound?(delivery: Delivery, message: Message): Look;
}

/**
 * What a script exports that is a filter: `export const { lifecycle, inboundFilter, outboundFilter } = filter({ … })`. Its
 * functions give nothing to let a message pass, or another `Message` in its place, or end with `reject`, `drop` or `close`.
 */
export function filter(parts: FilterParts): { lifecycle: Lifecycle; inboundFilter: InboundFilter; outboundFilter: OutboundFilter };

/** A message on its way. It does not change; `replace` and `mapTexts` make another one. */
export class Message {
  constructor(raw: RawMessage);
  /** As the contract has it. */
  readonly raw: RawMessage;
  readonly kind: Kind;
  /** The method of a call, or null. */
  readonly target: string | null;
  /** The error of a completion, or null. */
  readonly error: string | null;
  /** The arguments of a call (an array), an item, or a result; undefined for a completion without one. */
  readonly value: unknown;
  /** The message with another target, value or error. */
  replace(changes: { target?: string; value?: unknown; error?: string | null }): Message;
  /** The message with each text of its value and its error (not the names of fields) as `change` gives it; itself if none changes. */
  mapTexts(change: (text: string) => string): Message;
}
