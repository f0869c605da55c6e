// Negotiators: who may become a client, and as whom.

import { fail } from "./answers.js";
import { lifecycle } from "./handler.js";
import { checkParts, refusePromise } from "./parts.js";

/**
 * What a script exports that only decides who may come: `export const { lifecycle, authorizer } = negotiator({ … })`.
 * `authorize(request)` gives a grant, or ends with `unauthorized`, `forbidden` or `fail`.
 */
export function negotiator(parts) {
  checkParts("negotiator", parts, ["init", "authorize"]);
  return { lifecycle: lifecycle(parts), authorizer: authorizer(parts) };
}

/** Refuses: it is not known who asks. The answer is 401, with the text. */
export function unauthorized(text) {
  throw { tag: "unauthorized", val: `${text}` };
}

/** Refuses: whoever asks may not come. The answer is 403, with the text. */
export function forbidden(text) {
  throw { tag: "forbidden", val: `${text}` };
}

/** The export `authorizer` of what has `authorize`. */
export const authorizer = (parts) => ({
  authorize(raw) {
    if (parts.authorize === undefined) fail(`this plugin has no authorizer for the hub '${raw.hub}'`);
    let grant;
    try {
      grant = parts.authorize(new AuthorizeRequest(raw));
    } catch (error) {
      // As everywhere, with a text for whoever asks.
      if (error?.tag === "rejected") forbidden(error.val);
      throw error;
    }
    refusePromise("`authorize`", grant);
    if (typeof grant !== "object" || grant === null) fail("`authorize` has given no grant: { userId, claims, groups, lifetimeSeconds }, all of which may be missing");
    const { userId = null, claims = [], groups = [], lifetimeSeconds = null } = grant;
    return { userId, claims: pairsOf(claims), groups, lifetimeSeconds };
  },
});

/** The request of one who wants to become a client. What is not there is null. */
export class AuthorizeRequest {
  constructor(raw) {
    /** As the contract has it. */
    this.raw = raw;
    this.hub = raw.hub;
    this.remoteAddress = raw.remoteAddress;
  }

  /** The first header of this name, whatever its case. */
  header(name) {
    return this.raw.headers.find((pair) => isNamed(pair, name))?.value ?? null;
  }

  /** The first item of this name in the query, decoded. */
  query(name) {
    return this.raw.query.find((pair) => pair.name === name)?.value ?? null;
  }

  /** The first cookie of this name, as it stands in the request. */
  cookie(name) {
    const cookies = this.raw.headers.filter((pair) => isNamed(pair, "cookie")).flatMap((pair) => pair.value.split(";"));
    const pairs = cookies.map((cookie) => cookie.split(/=(.*)/s, 2).map((part) => part.trim()));
    return pairs.find(([each, value]) => each === name && value !== undefined)?.[1] ?? null;
  }

  /** The token of the header `Authorization: Bearer …`. */
  get bearerToken() {
    return /^bearer (.*)$/i.exec(this.header("authorization") ?? "")?.[1].trim() ?? null;
  }
}

const isNamed = (pair, name) => pair.name.toLowerCase() === name.toLowerCase();

/** Pairs as they are; of an object, a pair for each value, or for each of a list. */
function pairsOf(claims) {
  if (Array.isArray(claims)) return claims;
  return Object.entries(claims).flatMap(([name, values]) => [values].flat().map((value) => ({ name, value: `${value}` })));
}
