import type { AuthorizeRequest as RawRequest, Authorizer } from "hubgate:plugin/authorizer@0.1.0";
import type { Lifecycle } from "hubgate:plugin/lifecycle@0.1.0";
import type { Pair } from "hubgate:plugin/types@0.1.0";

/** The request of one who wants to become a client. What is not there is null. */
export class AuthorizeRequest {
  constructor(raw: RawRequest);
  /** As the contract has it, with all headers and query items. */
  readonly raw: RawRequest;
  readonly hub: string;
  readonly remoteAddress: string;
  /** The first header of this name, whatever its case. */
  header(name: string): string | null;
  /** The first item of this name in the query, decoded. */
  query(name: string): string | null;
  /** The first cookie of this name, as it stands in the request. */
  cookie(name: string): string | null;
  /** The token of the header `Authorization: Bearer …`. */
  readonly bearerToken: string | null;
}

/** As whom a client may come. */
export interface Grant {
  userId?: string | null;
  /** Pairs; or an object, with a claim for each value, or for each of a list of values. */
  claims?: Pair[] | Record<string, string | number | boolean | readonly (string | number | boolean)[]>;
  /** Groups that it is in from the beginning. */
  groups?: string[];
  /** How long its access token is good for; without it, as long as the gateway's own. */
  lifetimeSeconds?: number | null;
}

export interface NegotiatorParts {
  /** Runs once in each new instance. A text that is thrown, or `fail`, keeps the plugin from serving. */
  init?(): void;
  /** Gives a grant; or ends with `unauthorized`, `forbidden` (`reject` is the same) or `fail`. */
  authorize(request: AuthorizeRequest): Grant;
}

/** What a script exports that only decides who may come: `export const { lifecycle, authorizer } = negotiator({ … })`. */
export function negotiator(parts: NegotiatorParts): { lifecycle: Lifecycle; authorizer: Authorizer };

/** Refuses: it is not known who asks. The answer is 401, with the text. */
export function unauthorized(text: string): never;
/** Refuses: whoever asks may not come. The answer is 403, with the text. */
export function forbidden(text: string): never;
