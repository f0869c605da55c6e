/// <reference path="./contract.d.ts" />

import type { Pair } from "hubgate:plugin/types@0.1.0";

export interface Request {
  /** GET if not said. */
  method?: string;
  url: string | { toString(): string };
  headers?: Record<string, string | number> | Pair[];
  body?: string | Uint8Array;
  timeoutMs?: number | null;
}

export interface Response {
  readonly status: number;
  readonly headers: Pair[];
  readonly body: Uint8Array;
  /** Whether the status is of the 200s. */
  readonly ok: boolean;
  /** The first header of this name, or null. */
  header(name: string): string | null;
  text(): string;
  json(): any;
}

/** Asks, and waits. What it throws has the contract's own error as `payload`. */
export function send(request: Request): Response;
