// URL: https://url.spec.whatwg.org

import { CONTROL, FRAGMENT, PATH, QUERY, SPECIAL_QUERY, USERINFO, parseHost, percentEncode } from "./url-host.js";
import { URLSearchParams, follow, reread } from "./url-search.js";

const PORTS = { __proto__: null, ftp: 21, file: null, http: 80, https: 443, ws: 80, wss: 443 };
const isSpecial = (parts) => parts.scheme in PORTS;
const isDrive = (text) => /^[a-z][:|]$/i.test(text);
const startsWithDrive = (text) => /^[a-z][:|]([/\\?#]|$)/i.test(text);

/** A host, and a port. */
const AUTHORITY = /^(\[[^\]]*\]?|[^:]*)(?::(.*))?$/s;

/** The parts of a URL. `path` is a list, or the text of a path that has no parts; `host` is null if there is none. */
function parse(input, base) {
  const text = input.toWellFormed().replace(/^[\0-\x20]+|[\0-\x20]+$/g, "").replace(/[\t\n\r]/g, "");
  const [beforeFragment, fragment] = cut(text, "#");
  const [rest, query] = cut(beforeFragment, "?");
  const scheme = /^[a-z][a-z0-9+.-]*(?=:)/i.exec(rest)?.[0].toLowerCase();
  const parts = scheme === undefined ? parseRelative(rest, query, fragment, base) : parseAbsolute(scheme, rest.slice(scheme.length + 1), base);
  if (query !== null) parts.query = encodeQuery(query, parts);
  parts.fragment = fragment === null ? null : percentEncode(fragment, FRAGMENT);
  return parts;
}

const encodeQuery = (query, parts) => percentEncode(query, isSpecial(parts) ? SPECIAL_QUERY : QUERY);

function cut(text, mark) {
  const at = text.indexOf(mark);
  return at === -1 ? [text, null] : [text.slice(0, at), text.slice(at + 1)];
}

const empty = (scheme) => ({ scheme, username: "", password: "", host: null, port: null, path: [], query: null, fragment: null });

function parseAbsolute(scheme, rest, base) {
  const parts = empty(scheme);
  if (scheme === "file") return parseFile(rest, base?.scheme === "file" ? base : null);
  if (isSpecial(parts)) {
    if (base?.scheme === scheme && !/^[/\\]{2}/.test(rest)) return inherit(rest, null, base);
    return parseAuthority(parts, rest.replace(/^[/\\]+/, ""));
  }
  if (rest.startsWith("//")) return parseAuthority(parts, rest.slice(2));
  // Spaces at its end would vanish when it is read again.
  parts.path = rest.startsWith("/") ? parsePath([], rest.slice(1), parts) : percentEncode(rest, CONTROL).replace(/ $/, "%20");
  return parts;
}

function parseRelative(rest, query, fragment, base) {
  if (base === null) throw "no scheme, and no base";
  if (typeof base.path === "string") {
    if (rest !== "" || query !== null || fragment === null) throw "a base without a path of parts";
    return { ...base };
  }
  return base.scheme === "file" ? parseFile(rest, base, query) : inherit(rest, query, base);
}

function inherit(rest, query, base) {
  const parts = { ...base, path: [...base.path], query: null };
  const slash = isSpecial(base) ? /^[/\\]/ : /^\//;
  if (rest === "") return { ...parts, query: query === null ? base.query : null };
  if (!slash.test(rest)) return { ...parts, path: parsePath(shortened(parts), rest, parts) };
  if (!slash.test(rest.slice(1))) return { ...parts, path: parsePath([], rest.slice(1), parts) };
  return parseAuthority(empty(base.scheme), isSpecial(base) ? rest.replace(/^[/\\]+/, "") : rest.slice(2));
}

function parseAuthority(parts, rest) {
  const end = rest.search(isSpecial(parts) ? /[/\\]/ : /\//);
  const [authority, path] = end === -1 ? [rest, ""] : [rest.slice(0, end), rest.slice(end)];
  const at = authority.lastIndexOf("@");
  if (at !== -1) {
    const [username, password] = cut(authority.slice(0, at), ":");
    parts.username = percentEncode(username, USERINFO);
    parts.password = percentEncode(password ?? "", USERINFO);
  }
  const [, host, port] = AUTHORITY.exec(authority.slice(at + 1)) ?? [];
  if (host === undefined) throw "what is no host";
  if (host === "" && (isSpecial(parts) || at !== -1 || port !== undefined)) throw "no host";
  parts.host = host === "" ? "" : parseHost(host, isSpecial(parts));
  parts.port = parsePort(port ?? "", parts);
  parts.path = parsePathStart(path, parts);
  return parts;
}

function parsePort(text, parts) {
  if (text === "") return null;
  if (!/^\d+$/.test(text) || Number(text) > 65535) throw "what is no port";
  return Number(text) === PORTS[parts.scheme] ? null : Number(text);
}

function parsePathStart(text, parts) {
  if (isSpecial(parts)) return parsePath([], text.replace(/^[/\\]/, ""), parts);
  return text === "" && parts.host !== null ? [] : parsePath([], text.replace(/^\//, ""), parts);
}

function parseFile(rest, base, query = null) {
  const parts = { ...empty("file"), host: "" };
  if (/^[/\\]{2}/.test(rest)) {
    const [, host, path] = /^([^/\\]*)(.*)$/s.exec(rest.slice(2));
    if (isDrive(host)) return { ...parts, path: parsePath([], host + path, parts) };
    const name = host === "" ? "" : parseHost(host, true);
    return { ...parts, host: name === "localhost" ? "" : name, path: parsePathStart(path, parts) };
  }
  if (/^[/\\]/.test(rest)) {
    if (base !== null) {
      parts.host = base.host;
      if (!startsWithDrive(rest.slice(1)) && /^[a-z]:$/i.test(base.path[0])) parts.path = [base.path[0]];
    }
    return { ...parts, path: parsePath(parts.path, rest.slice(1), parts) };
  }
  if (base === null) return { ...parts, path: parsePath([], rest, parts) };
  if (rest === "") return { ...base, path: [...base.path], query: query === null ? base.query : null };
  parts.host = base.host;
  const before = startsWithDrive(rest) ? [] : shortened({ scheme: "file", path: base.path });
  return { ...parts, path: parsePath(before, rest, parts) };
}

/** The path without its last part; a drive stays. */
function shortened({ scheme, path }) {
  return scheme === "file" && path.length === 1 && /^[a-z]:$/i.test(path[0]) ? [...path] : path.slice(0, -1);
}

function parsePath(before, text, parts) {
  let path = [...before];
  const segments = text.split(isSpecial(parts) ? /[/\\]/ : "/");
  segments.forEach((segment, at) => {
    const isLast = at === segments.length - 1;
    const plain = segment.replace(/%2e/gi, ".");
    if (plain === "..") {
      path = shortened({ scheme: parts.scheme, path });
      if (isLast) path.push("");
    } else if (plain === ".") {
      if (isLast) path.push("");
    } else if (parts.scheme === "file" && path.length === 0 && isDrive(segment)) {
      path.push(`${segment[0]}:`);
    } else {
      path.push(percentEncode(segment, PATH));
    }
  });
  return path;
}

function write(parts, withFragment = true) {
  const { scheme, username, password, host, path } = parts;
  const credentials = username || password ? `${username}${password && `:${password}`}@` : "";
  const authority = host !== null ? `//${credentials}${hostOf(parts)}` : Array.isArray(path) && path.length > 1 && path[0] === "" ? "/." : "";
  const query = parts.query === null ? "" : `?${parts.query}`;
  const fragment = parts.fragment === null || !withFragment ? "" : `#${parts.fragment}`;
  return `${scheme}:${authority}${pathOf(parts)}${query}${fragment}`;
}

const hostOf = ({ host, port }) => `${host ?? ""}${port === null ? "" : `:${port}`}`;
const pathOf = ({ path }) => (typeof path === "string" ? path : path.map((part) => `/${part}`).join(""));

class URL {
  #parts;
  #search;

  constructor(url, base) {
    try {
      this.#parts = parse(`${url}`, base === undefined ? null : parse(`${base}`, null));
    } catch (error) {
      if (typeof error !== "string") throw error;
      throw new TypeError(`Invalid URL: '${url}'${base === undefined ? "" : ` with base '${base}'`} has ${error}`);
    }
    this.#search = new URLSearchParams();
    reread(this.#search, this.#parts.query ?? "");
    follow(this.#search, (query) => (this.#parts.query = query === "" ? null : query));
  }

  static canParse(url, base) {
    return URL.parse(url, base) !== null;
  }

  static parse(url, base) {
    try {
      return new URL(url, base);
    } catch {
      return null;
    }
  }

  /** Changes parts, or leaves them all as they are. */
  #change(make) {
    const parts = { ...this.#parts };
    try {
      if (make(parts) !== false) this.#parts = parts;
    } catch (error) {
      if (typeof error !== "string") throw error;
    }
  }

  get href() {
    return write(this.#parts);
  }
  set href(url) {
    this.#parts = new URL(url).#parts;
    reread(this.#search, this.#parts.query ?? "");
  }
  get origin() {
    const { scheme } = this.#parts;
    if (scheme === "blob") {
      const inner = URL.parse(pathOf(this.#parts));
      return inner !== null && /^https?:$/.test(inner.protocol) ? inner.origin : "null";
    }
    return isSpecial(this.#parts) && scheme !== "file" ? `${scheme}://${hostOf(this.#parts)}` : "null";
  }
  get protocol() {
    return `${this.#parts.scheme}:`;
  }
  set protocol(text) {
    this.#change((parts) => {
      const scheme = /^[a-z][a-z0-9+.-]*(?=:|$)/i.exec(clean(text))?.[0].toLowerCase();
      if (scheme === undefined || scheme in PORTS !== isSpecial(parts)) return false;
      if (scheme === "file" && (parts.username || parts.password || parts.port !== null)) return false;
      if (parts.scheme === "file" && parts.host === "") return false;
      parts.scheme = scheme;
      if (parts.port === PORTS[scheme]) parts.port = null;
    });
  }
  get username() {
    return this.#parts.username;
  }
  set username(text) {
    this.#change((parts) => (mayHaveCredentials(parts) ? void (parts.username = percentEncode(`${text}`.toWellFormed(), USERINFO)) : false));
  }
  get password() {
    return this.#parts.password;
  }
  set password(text) {
    this.#change((parts) => (mayHaveCredentials(parts) ? void (parts.password = percentEncode(`${text}`.toWellFormed(), USERINFO)) : false));
  }
  get host() {
    return hostOf(this.#parts);
  }
  set host(text) {
    this.#change((parts) => setHost(parts, clean(text), true));
  }
  get hostname() {
    return this.#parts.host ?? "";
  }
  set hostname(text) {
    this.#change((parts) => setHost(parts, clean(text), false));
  }
  get port() {
    return this.#parts.port === null ? "" : `${this.#parts.port}`;
  }
  set port(text) {
    this.#change((parts) => (mayHaveCredentials(parts) ? setPort(parts, clean(text)) : false));
  }
  get pathname() {
    return pathOf(this.#parts);
  }
  set pathname(text) {
    this.#change((parts) => (typeof parts.path === "string" ? false : void (parts.path = parsePathStart(clean(text), parts))));
  }
  get search() {
    return this.#parts.query ? `?${this.#parts.query}` : "";
  }
  set search(text) {
    const query = clean(text).replace(/^\?/, "");
    this.#parts.query = `${text}` === "" ? null : encodeQuery(query, this.#parts);
    reread(this.#search, query);
  }
  get searchParams() {
    return this.#search;
  }
  get hash() {
    return this.#parts.fragment ? `#${this.#parts.fragment}` : "";
  }
  set hash(text) {
    this.#parts.fragment = `${text}` === "" ? null : percentEncode(clean(text).replace(/^#/, ""), FRAGMENT);
  }
  toString() {
    return this.href;
  }
  toJSON() {
    return this.href;
  }
}

const clean = (text) => `${text}`.toWellFormed().replace(/[\t\n\r]/g, "");
const mayHaveCredentials = ({ scheme, host }) => host !== null && host !== "" && scheme !== "file";

function setHost(parts, text, withPort) {
  if (typeof parts.path === "string") return false;
  const end = text.search(isSpecial(parts) ? /[/\\?#]/ : /[/?#]/);
  const authority = end === -1 ? text : text.slice(0, end);
  const [, host, port] = (parts.scheme === "file" ? /^(.*)$/s : AUTHORITY).exec(authority) ?? [];
  if (host === undefined || (port !== undefined && !withPort)) return false;
  if (host === "" && (isSpecial(parts) ? parts.scheme !== "file" : port !== undefined || parts.username || parts.password || parts.port !== null)) return false;
  const name = host === "" ? "" : parseHost(host, isSpecial(parts));
  parts.host = parts.scheme === "file" && name === "localhost" ? "" : name;
  if (port) setPort(parts, port);
}

function setPort(parts, text) {
  if (text === "") return void (parts.port = null);
  const digits = /^\d+/.exec(text)?.[0];
  if (digits === undefined || Number(digits) > 65535) return false;
  parts.port = parsePort(digits, parts);
}

Object.assign(globalThis, { URL, URLSearchParams });
