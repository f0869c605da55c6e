// Tokens for clients, signed in the browser with an access key, as docs/let-users-in.md has it.

/** A token's lifetime, in seconds. */
const LIFETIME = 3_600;
/** Claims that say what a token is for, and how long. */
const OWN = new Set(["aud", "exp", "iat", "nbf", "iss", "nameid"]);

export interface Access {
  endpoint: string;
  key: string;
}

export function accessOf(connectionString: string): Access {
  const parts = new Map(
    connectionString.split(";").map((part) => {
      const at = part.indexOf("=");
      return [part.slice(0, at).trim().toLowerCase(), part.slice(at + 1).trim()];
    }),
  );
  const [endpoint, key] = [parts.get("endpoint"), parts.get("accesskey")];
  if (!endpoint || !key) {
    throw new Error("The gateway's connection string has no endpoint or no key.");
  }
  return { endpoint: endpoint.replace(/\/+$/, ""), key };
}

export type Claims = Record<string, string | string[]>;

/** Claims as they are typed, one `name=value` a line; the same name again makes a list. */
export function claimsOf(typed: string): Claims {
  const claims = new Map<string, string | string[]>();
  for (const line of typed.split("\n").filter((line) => line.trim() !== "")) {
    const at = line.indexOf("=");
    const name = line.slice(0, at).trim();
    if (at < 1 || name === "") {
      throw new Error(`The claim "${line.trim()}" is not name=value.`);
    }
    if (OWN.has(name)) {
      throw new Error(`The claim ${name} is set by the playground itself.`);
    }
    const value = line.slice(at + 1).trim();
    const before = claims.get(name);
    claims.set(name, before === undefined ? value : [before, value].flat());
  }
  return Object.fromEntries(claims);
}

/** What makes tokens for a client of a hub; the access key cannot be read out of it. */
export async function signer({ endpoint, key }: Access, hub: string, user: string, claims: Claims): Promise<() => Promise<string>> {
  if (!crypto.subtle) {
    throw new Error(
      "This browser signs tokens only for pages that come by HTTPS or from this machine (http://localhost): open the console so, or use a token that hubgate token client has made.",
    );
  }
  const hmac = await crypto.subtle.importKey("raw", bytesOf(key), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return async () => {
    const now = Math.floor(Date.now() / 1000);
    const own = { aud: `${endpoint}/client/?hub=${hub}`, iat: now, exp: now + LIFETIME };
    const told = { ...claims, ...(user === "" ? {} : { nameid: user }), ...own };
    const signed = `${encoded(bytesOf('{"alg":"HS256","typ":"JWT"}'))}.${encoded(bytesOf(JSON.stringify(told)))}`;
    const signature = await crypto.subtle.sign("HMAC", hmac, bytesOf(signed));
    return `${signed}.${encoded(new Uint8Array(signature))}`;
  };
}

function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/** Base64 as JWTs have it. */
function encoded(bytes: Uint8Array): string {
  const text = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}
