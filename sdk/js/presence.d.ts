import type { PresentMember } from "hubgate:plugin/presence@0.1.0";
import type { Target } from "hubgate:plugin/types@0.1.0";
import type { MemberLike } from "./hub.js";

/** How many connections it has, in the whole cluster. */
export function count(target: MemberLike | Target): number;
/** The members of a group by connection id, at most `limit` (1,000): those after `after`. */
export function members(group: string, after?: string | null, limit?: number): PresentMember[];
/** The connection ids of a user, at most `limit` (1,000): those after `after`. */
export function connections(user: string, after?: string | null, limit?: number): string[];
/** From now on `presenceChanged` tells who joins and leaves the group. */
export function watch(group: string): void;
export function unwatch(group: string): void;
