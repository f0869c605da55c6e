// HTTP, for plugins of the worlds "handler-with-http" and "filter-with-http", to what `plugins.NAME.allow-http` lists. It waits for
// the answer.

import contract from "hubgate:plugin/http@0.1.0";
import { imports } from "./imports.js";

const raw = imports(contract);

/** Asks. Errors have the contract's own as `payload`. */
export function send({ method = "GET", url, headers = {}, body = "", timeoutMs = null }) {
  const pairs = Array.isArray(headers) ? headers : Object.entries(headers).map(([name, value]) => ({ name, value: `${value}` }));
  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
  try {
    return new Response(raw.send({ method, url: `${url}`, headers: pairs, body: bytes, timeoutMs }));
  } catch (error) {
    const { tag, val } = error?.payload ?? {};
    // A URL may hold what is no business of the log's.
    if (tag !== undefined) error.message = `http: ${method} to ${URL.parse(url)?.host ?? "no URL"}: ${tag}${val === undefined ? "" : `: ${val}`}`;
    throw error;
  }
}

/** What a server has answered. */
class Response {
  constructor({ status, headers, body }) {
    this.status = status;
    this.headers = headers;
    this.body = body;
  }

  /** Whether the status is of the 200s. */
  get ok() {
    return this.status >= 200 && this.status < 300;
  }

  /** The first header of this name, or null. */
  header(name) {
    return this.headers.find((pair) => pair.name.toLowerCase() === name.toLowerCase())?.value ?? null;
  }

  text() {
    return new TextDecoder().decode(this.body);
  }

  json() {
    return JSON.parse(this.text());
  }
}
