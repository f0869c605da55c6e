/** The value of JSON, or null. */
export function get(key: string): any;
export function set(key: string, value: unknown, ttlMs?: number | null): void;
/** The bytes, or null. */
export function getBytes(key: string): Uint8Array | null;
export function setBytes(key: string, bytes: Uint8Array, ttlMs?: number | null): void;
/** Keeps the bytes `value`, or with null deletes, only if the present bytes are `expected`, null if there are none; says whether it did. */
export function compareAndSet(key: string, expected: Uint8Array | null, value: Uint8Array | null, ttlMs?: number | null): boolean;
declare function remove(key: string): void;
export { remove as delete };
/** Adds 1, or an integer up to 2^53 - 1, and gives the sum; a missing key counts as 0, and gets the time to live. */
export function increment(key: string, by?: number, ttlMs?: number | null): number;
/** Keys in order, at most `limit` (1,000): those that begin with `prefix`, after the key `after`. */
export function keys(prefix?: string, after?: string | null, limit?: number): string[];
