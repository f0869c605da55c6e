// Requests to the admin API: with the token, bounded in time, and with errors in the API's own words.

import { changesRefused, signOut, token } from "./session";

/** The admin listener's root, wherever a proxy has put it: the page is one folder below. */
const ROOT = new URL("..", document.baseURI);
const PATIENCE = 15_000;
/** The gateway may take two minutes over a key, and compiles a plugin before it answers. */
const PATIENCE_FOR_CHANGES = 180_000;
/** In place of a status: nothing can be asked about such a name. */
export const NO_NAME = -1;
const LONGEST_ERROR = 2_000;

export class ApiError extends Error {
  constructor(
    /** 0 where there was no answer, NO_NAME where nothing was asked. */
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

export interface Options {
  /** Another token than that of the session. */
  token?: string;
  body?: BodyInit;
  type?: string;
  /** Ends the request. With it only the beginning of the answer is bounded in time. */
  until?: AbortController;
}

export async function request(method: string, path: string, options: Options = {}): Promise<Response> {
  const used = options.token ?? token.value;
  const headers = new Headers({ Authorization: `Bearer ${used}` });
  if (options.type) {
    headers.set("Content-Type", options.type);
  }
  const patience = method === "GET" ? PATIENCE : PATIENCE_FOR_CHANGES;
  const { until } = options;
  const timer = until && setTimeout(() => until.abort(new DOMException("", "TimeoutError")), patience);
  let response: Response;
  try {
    response = await fetch(new URL(path, ROOT), {
      method,
      headers,
      body: options.body,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      referrerPolicy: "no-referrer",
      signal: until?.signal ?? AbortSignal.timeout(patience),
    });
  } catch (error) {
    const isLate = error instanceof DOMException && error.name === "TimeoutError";
    throw new ApiError(0, isLate ? "The gateway did not answer in time." : "The gateway cannot be reached.");
  } finally {
    clearTimeout(timer);
  }
  if (response.ok) {
    return response;
  }
  const text = (await response.text().catch(() => "")).trim().slice(0, LONGEST_ERROR);
  const error = new ApiError(response.status, text || `The gateway answered with status ${response.status}.`);
  if (response.status === 401 && used === token.value && used !== "") {
    signOut(error.message);
  }
  if (response.status === 403 && method !== "GET") {
    changesRefused.value = error.message;
  }
  throw error;
}

export async function read<T>(path: string, options?: Options): Promise<T> {
  return (await request("GET", path, options)).json() as Promise<T>;
}

export async function readText(path: string): Promise<string> {
  return (await request("GET", path)).text();
}

export async function change<T>(method: "POST" | "PUT" | "DELETE", path: string, json?: unknown): Promise<T> {
  const options = json === undefined ? {} : { body: JSON.stringify(json), type: "application/json" };
  return (await request(method, path, options)).json() as Promise<T>;
}

export async function upload<T>(path: string, file: Blob, type: string): Promise<T> {
  return (await request("POST", path, { body: file, type })).json() as Promise<T>;
}

/** A name as one segment of a path. */
export function segment(name: string): string {
  // A browser takes these for steps of a path, also where they are percent-encoded.
  if (name === "." || name === "..") {
    throw new ApiError(NO_NAME, `The name "${name}" cannot be part of an address.`);
  }
  return encodeURIComponent(name);
}

/** A query of what is not empty. */
export function query(items: Record<string, string | number | undefined>): string {
  const kept = Object.entries(items).filter(([, value]) => value !== undefined && value !== "");
  return kept.length ? `?${new URLSearchParams(kept.map(([name, value]) => [name, String(value)]))}` : "";
}

/** An error's words. */
export function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
