import type { Action } from "hubgate:plugin/hub@0.1.0";
import type { Connection, Member, Payload, Target } from "hubgate:plugin/types@0.1.0";

/** An array of values of JSON, or a payload that goes as it is. */
export type Arguments = readonly unknown[] | Payload;
/** A client, the id of a connection, or `hub.user(id)`. */
export type MemberLike = Connection | string | Member;

export const all: Target & { tag: "all" };
export function group(name: string): Target;
export function user(id: string): Member;
export function connection(id: string): Member;

/** Calls a method of all clients, but for the connections in `except`. */
export function sendAll(method: string, values: Arguments, except?: readonly string[]): void;
export function sendGroup(name: string, method: string, values: Arguments, except?: readonly string[]): void;
export function sendUser(id: string, method: string, values: Arguments, except?: readonly string[]): void;
export function sendConnection(id: string, method: string, values: Arguments, except?: readonly string[]): void;
/** `to` is `hub.all`, `hub.group(name)`, `hub.user(id)` or `hub.connection(id)`. */
export function send(to: Target, method: string, values: Arguments, except?: readonly string[]): void;
/** Puts a member into a group, for some seconds, or as long as it is there. */
export function join(member: MemberLike, group: string, ttlSeconds?: number | null): void;
export function leave(member: MemberLike, group: string): void;
/** Takes a member out of all groups. */
export function leaveAll(member: MemberLike): void;
/** Closes a connection, or all that a target has, but for those in `except`. It is told the reason, and whether to come again. */
export function close(target: MemberLike | Target, reason?: string | null, allowReconnect?: boolean, except?: readonly string[]): void;
/** Queues an action of the contract. */
export function act(action: Action): void;
/** Does what is queued now, whatever becomes of the call. */
export function flush(): void;
/** Whether the target has a connection. */
export function exists(target: MemberLike | Target): boolean;
