/// <reference path="./contract.d.ts" />

import type { Authorizer } from "hubgate:plugin/authorizer@0.1.0";
import type { HubLifetime } from "hubgate:plugin/hub-lifetime@0.1.0";
import type { Lifecycle } from "hubgate:plugin/lifecycle@0.1.0";
import type { PresenceEvents } from "hubgate:plugin/presence-events@0.1.0";
import type { PresentMember } from "hubgate:plugin/presence@0.1.0";
import type { Scheduled } from "hubgate:plugin/scheduled@0.1.0";
import type { Payload } from "hubgate:plugin/types@0.1.0";
import type { Opening, UpstreamStreams } from "hubgate:plugin/upstream-streams@0.1.0";
import type { Invocation, Upstream } from "hubgate:plugin/upstream@0.1.0";
import type { Client } from "./client.js";
import type { Kinds, ValuesOf } from "./index.js";
import type { AuthorizeRequest, Grant } from "./negotiator.js";
import type { Room, Stream } from "./streams.js";

export * from "./index.js";
export { AskError, Client, ask, type AskOptions } from "./client.js";
export * as presence from "./presence.js";
export { Stream, type Room } from "./streams.js";
export * as timers from "./timers.js";
export type { PresentMember } from "hubgate:plugin/presence@0.1.0";
export type { Opening } from "hubgate:plugin/upstream-streams@0.1.0";

/** What a method gives: a value of JSON for the caller, or nothing. */
export type Method = (client: Client, ...values: any[]) => unknown;
/** A method that streams gives nothing: it pushes items, and finishes, now or in a later call. */
export type StreamingMethod = (client: Client, stream: Stream<any>, ...values: any[]) => void;

/**
 * A method that is called only with arguments of these kinds: "string", "integer" (up to 2^53), "number", "boolean", "object",
 * "array" or "any"; a kind that ends with `?` may be missing or null. Others are refused with a text for the client.
 */
export function takes<const Names extends Kinds>(kinds: Names, method: (client: Client, ...values: ValuesOf<Names>) => unknown): Method;
/** The same of a method that streams: its arguments are checked, of the call that opens the stream. */
export function streams<const Names extends Kinds>(
  kinds: Names,
  method: (client: Client, stream: Stream<any>, ...values: ValuesOf<Names>) => void,
): StreamingMethod;

export interface WholeHubParts {
  /** Runs once in each new instance. A text that is thrown, or `fail`, keeps the plugin from serving. */
  init?(): void;
  /** Decides whether a client may come: `reject` refuses it with a text. */
  connected?(client: Client): void;
  /** A client is gone; `reason` is there if it did not leave by itself. */
  disconnected?(client: Client, reason: string | null): void;
  /** What clients call, by name. Each gets the client and the arguments as the client sent them: check them, or use `takes`. */
  methods?: Record<string, Method>;
  /** Calls that `methods` has nothing for, and all in MessagePack, as they came. */
  invoke?(client: Client, call: Invocation): Payload | null | undefined;
  /** What clients stream, and what they call with streams of their own, by name. */
  streams?: Record<string, StreamingMethod>;
  /** Calls that `streams` has nothing for, and all in MessagePack, as they came; `Stream.fromId(opening.id)` is its stream. */
  begin?(client: Client, opening: Opening): void;
  /** There is room in a stream again, after a `push` that found none. */
  writable?(client: Client, stream: Stream<any>, room: Room): void;
  /** A client wants no more of a stream, or is gone. */
  cancelled?(client: Client, stream: Stream<any>): void;
  /** An item of a client's stream, one of the ids in `stream.uploads`. MessagePack comes as a payload. */
  item?(client: Client, upload: string, item: any): void;
  /** A client's stream is complete, or has failed with the client's error. */
  ended?(client: Client, upload: string, error: string | null): void;
  /** A timer is due: at least once each time. `payload` is what it was set with. */
  fired?(hub: string, timer: string, payload: any): void;
  /** Who has joined and left a watched group since the last time: at most 1,000 in a call. */
  presenceChanged?(hub: string, group: string, joined: PresentMember[], left: PresentMember[]): void;
  /** This version begins to serve a hub that the configuration names. */
  started?(hub: string): void;
  /** Decides who may come, where `hubs.NAME.negotiate` asks the plugin: `unauthorized`, `forbidden` or `fail` refuse. */
  authorize?(request: AuthorizeRequest): Grant;
}

/** What a whole hub exports. */
export interface WholeHub {
  lifecycle: Lifecycle;
  upstream: Upstream;
  upstreamStreams: UpstreamStreams;
  scheduled: Scheduled;
  presenceEvents: PresenceEvents;
  hubLifetime: HubLifetime;
  authorizer: Authorizer;
}

/**
 * What a script exports that is a whole hub: `export default wholeHub({ … })`. All parts may be missing. Variables of a script are
 * a cache that may vanish between two calls: what must stay belongs into `state`.
 */
export function wholeHub(parts: WholeHubParts): WholeHub;
