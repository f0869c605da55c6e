// URLSearchParams: https://url.spec.whatwg.org/#interface-urlsearchparams

import { percentDecoded, percentEncode } from "./url-host.js";

/** Lets a URL know of its query's changes. */
export let follow;
/** Reads the query of a URL that has changed. */
export let reread;
const FORM = /[^A-Za-z0-9*._-]/gu;

const encode = (text) => percentEncode(text, FORM).replace(/%20/g, "+");
const decode = (text) => percentDecoded(text.replace(/\+/g, " "));
const string = (value) => `${value}`.toWellFormed();

export class URLSearchParams {
  #pairs = [];
  #changed = null;

  static {
    follow = (params, changed) => (params.#changed = changed);
    reread = (params, text) => params.#read(text);
  }

  constructor(init = "") {
    if ((typeof init === "object" || typeof init === "function") && init !== null) {
      this.#pairs = typeof init[Symbol.iterator] === "function" ? pairsOf(init) : Object.entries(init).map((pair) => pair.map(string));
    } else {
      this.#read(string(init).replace(/^\?/, ""));
    }
  }

  #read(text) {
    this.#pairs = text.split("&").filter((part) => part !== "").map((part) => {
      const at = part.indexOf("=");
      return at === -1 ? [decode(part), ""] : [decode(part.slice(0, at)), decode(part.slice(at + 1))];
    });
  }

  #change(pairs) {
    this.#pairs = pairs;
    this.#changed?.(this.toString());
  }

  get size() {
    return this.#pairs.length;
  }
  append(name, value) {
    this.#change([...this.#pairs, [string(name), string(value)]]);
  }
  delete(name, value) {
    this.#change(this.#pairs.filter((pair) => !matches(pair, name, value)));
  }
  get(name) {
    return this.#pairs.find((pair) => matches(pair, name))?.[1] ?? null;
  }
  getAll(name) {
    return this.#pairs.filter((pair) => matches(pair, name)).map(([, value]) => value);
  }
  has(name, value) {
    return this.#pairs.some((pair) => matches(pair, name, value));
  }
  set(name, value) {
    const first = this.#pairs.findIndex((pair) => matches(pair, name));
    if (first === -1) return this.append(name, value);
    const others = this.#pairs.filter((pair, at) => at === first || !matches(pair, name));
    others[first] = [string(name), string(value)];
    this.#change(others);
  }
  sort() {
    const order = ([one], [other]) => (one < other ? -1 : one > other ? 1 : 0);
    this.#change([...this.#pairs].sort(order));
  }
  forEach(callback, self) {
    for (const [name, value] of this) callback.call(self, value, name, this);
  }
  *entries() {
    for (let at = 0; at < this.#pairs.length; at++) yield [...this.#pairs[at]];
  }
  *keys() {
    for (const [name] of this) yield name;
  }
  *values() {
    for (const [, value] of this) yield value;
  }
  [Symbol.iterator]() {
    return this.entries();
  }
  toString() {
    return this.#pairs.map((pair) => pair.map(encode).join("=")).join("&");
  }
}

function pairsOf(init) {
  return Array.from(init, (pair) => {
    const items = Array.from(pair, string);
    if (items.length !== 2) throw new TypeError("URLSearchParams: each item needs a name and a value");
    return items;
  });
}

const matches = ([name, value], wantedName, wantedValue) => name === string(wantedName) && (wantedValue === undefined || value === string(wantedValue));
