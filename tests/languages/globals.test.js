// What `hubgate plugin build` gives scripts, beside what Node.js has of the same name.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { register } from "node:module";
import test from "node:test";

register("./hooks.js", import.meta.url);
globalThis.logged = [];
globalThis.random = (length) => new Uint8Array(randomBytes(length));
const NAMES = ["URL", "URLSearchParams", "TextEncoder", "TextDecoder", "structuredClone", "console", "crypto", "queueMicrotask"];
const here = Object.fromEntries(NAMES.map((name) => [name, globalThis[name]]));
// Newer than this Node.js.
ArrayBuffer.prototype.transfer ??= function () {
  return here.structuredClone(this, { transfer: [this] });
};
const nativeRandom = Math.random;
const globals = new URL("../../gateway/cli/src/commands/plugin_build/javascript/globals/", import.meta.url);
await import(new URL("index.js", globals));
const call = await import(new URL("call.js", globals));
const ours = Object.fromEntries(NAMES.map((name) => [name, globalThis[name]]));
const ourRandom = Math.random;
for (const name of NAMES) Object.defineProperty(globalThis, name, { value: here[name], configurable: true, writable: true });
Math.random = nativeRandom;

/** The same numbers in each run. */
let seed = 1;
function below(bound) {
  seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
  return (seed >>> 8) % bound;
}
const pick = (list) => list[below(list.length)];
const some = (list, most) => Array.from({ length: 1 + below(most) }, () => pick(list));

const PIECES = ["http:", "https:", "file:", "ws:", "foo:", "mailto:", "//", "/", "\\", "example.com", "EXAMPLE", "user", ":", "@", "80", "443", "8080", "?", "#", "a=b&c"];
PIECES.push("..", ".", "%2e", "%2E%2e", "[::1]", "[1:2:0:0:5::]", "[::ffff:1.2.3.4]", "127.1", "0x7f.1", "1.2.3.256", "\t", "'", '"', "<", "{", "|", "C:", "c|", "%41", "a b");
PIECES.push("localhost", "\ud800", "+", "=", "&", ";", "256", "010", "1.2.3.4.5", "foo.0x", "~", "!", "*", "$", ",", "-", "_", "`", "\x7f", "\0", ".");
/** With the letters that become ASCII where case is folded; no host has them here. */
const QUERY_PIECES = [...PIECES, "\u017f", "\u212a"];
const BASES = [[], ["http://ex.org/a/b/c?q#f"], ["file:///C:/x/y"], ["foo://h/p/q"], ["https://u:p@h.x:8443/p"], ["file://host/a/b"]];
const PARTS = ["href", "origin", "protocol", "username", "password", "host", "hostname", "port", "pathname", "search", "hash"];

function read(kind, ...url) {
  try {
    const parsed = new kind(...url);
    return [...PARTS.map((part) => parsed[part]), [...parsed.searchParams], `${parsed}`, JSON.stringify(parsed)];
  } catch (error) {
    return error.constructor.name;
  }
}

test("URLs are read as Node.js reads them", () => {
  for (let round = 0; round < 20000; round++) {
    const url = [some(PIECES, 7).join(""), ...pick(BASES)];
    // Where this Node.js is older than the standard: a path that ends as `/..` beneath no special scheme.
    if (/^(foo:|\/)/.test(url[0]) || url[1]?.startsWith("foo:")) if (/\.\.|%2e/i.test(url[0])) continue;
    assert.deepEqual(read(ours.URL, ...url), read(here.URL, ...url), JSON.stringify(url));
  }
});

test("a URL's parts are changed as in Node.js", () => {
  const urls = ["http://h/p", "https://u:p@h:1/p?q#f", "file:///a", "foo://h/p", "foo:opaque", "mailto:x", "http://h:443/", "file://host/C:/a", "foo://h:80"];
  const values = ["", "a", "http", "https:", "file", "foo", "ex.org:99", "ex.org:", "[::1]:80", "90", "99999", "8a", "/p/../q", "p?x#y", "?a=b c", "#é", "u@:", "C:/x", "1.2", "//x", "\\y", "a\tb", "80", "\t"];
  for (const url of urls) {
    for (const part of PARTS.filter((part) => part !== "origin")) {
      for (const value of values) {
        // This Node.js takes a port away for what does not begin with a digit.
        if (part === "port" && !/^\d*$|^8a$/.test(value)) continue;
        const changed = (kind) => {
          const parsed = new kind(url);
          try {
            parsed[part] = value;
          } catch (error) {
            return error.constructor.name;
          }
          return [parsed.href, [...parsed.searchParams]];
        };
        assert.deepEqual(changed(ours.URL), changed(here.URL), `${url} ${part} = ${JSON.stringify(value)}`);
      }
    }
  }
});

test("search parameters are those of Node.js, and follow their URL", () => {
  for (let round = 0; round < 5000; round++) {
    const query = some(QUERY_PIECES, 8).join("");
    const used = (kind) => {
      const search = new kind(query);
      search.append("z z", "ü");
      search.set("a", "1");
      search.delete("q");
      search.sort();
      return [`${search}`, [...search], [...search.keys()], [...search.values()], search.size, search.get("a"), search.getAll("c"), search.has("z z", "ü")];
    };
    assert.deepEqual(used(ours.URLSearchParams), used(here.URLSearchParams), JSON.stringify(query));
  }
  const url = new ours.URL("http://h/?a=1");
  url.searchParams.append("b", "2");
  assert.equal(url.href, "http://h/?a=1&b=2");
  url.search = "c=3";
  assert.equal(url.searchParams.get("c"), "3");
  assert.equal(`${new ours.URLSearchParams({ x: 1 })}&${new ours.URLSearchParams([["y", "2"]])}`, "x=1&y=2");
});

test("bytes are decoded as in Node.js, whole and in pieces, good and bad", () => {
  const bytes = [0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xed, 0xef, 0xbb, 0xf0, 0xf1, 0xf4, 0xf5, 0xff];
  for (let round = 0; round < 20000; round++) {
    const text = new Uint8Array(some(bytes, 8));
    const [fatal, ignoreBOM, first] = [below(2) === 0, below(2) === 0, below(text.length + 1)];
    const second = first + below(text.length - first + 1);
    const decoded = (kind) => {
      const decoder = new kind("UTF-8", { fatal, ignoreBOM });
      const pieces = [];
      for (const piece of [text.subarray(0, first), text.subarray(first, second)]) {
        try {
          pieces.push(decoder.decode(piece, { stream: true }));
        } catch (error) {
          pieces.push(error.name);
        }
      }
      for (const piece of [text.subarray(second), text]) {
        try {
          pieces.push(decoder.decode(piece));
        } catch (error) {
          pieces.push(error.name);
        }
      }
      return pieces;
    };
    assert.deepEqual(decoded(ours.TextDecoder), decoded(here.TextDecoder), `${text} ${first} ${second} ${fatal} ${ignoreBOM}`);
  }
  assert.throws(() => new ours.TextDecoder("utf-16"), RangeError);
});

test("texts are encoded as in Node.js", () => {
  for (const text of ["", "abc", "é漢😀", "\ud800a\udc00", "\ufeffx"]) {
    assert.deepEqual(new ours.TextEncoder().encode(text), new here.TextEncoder().encode(text));
    for (let room = 0; room < 12; room++) {
      const into = (kind) => {
        const bytes = new Uint8Array(room);
        return [new kind().encodeInto(text, bytes), bytes];
      };
      assert.deepEqual(into(ours.TextEncoder), into(here.TextEncoder));
    }
  }
});

test("what is cloned is what Node.js clones, and what is not is refused", () => {
  const value = { a: 1, date: new Date(5), map: new Map([[{ k: 1 }, new Set([1, "x"])]]), pattern: /x/gi, view: new Uint16Array([1, 2, 3]).subarray(1) };
  Object.assign(value, { big: 5n, nothing: null, not: undefined, list: [1, , 3], boxed: [new Number(4), Object("s"), Object(true)] });
  value.self = value;
  value.list.more = value.map;
  assert.deepEqual(ours.structuredClone(value), here.structuredClone(value));
  const error = ours.structuredClone(new RangeError("no", { cause: { x: 1 } }));
  assert.deepEqual([error instanceof RangeError, error.message, error.cause], [true, "no", { x: 1 }]);
  for (const refused of [() => 1, Symbol("x"), { method() {} }, new WeakMap(), Promise.resolve()]) {
    for (const { structuredClone } of [ours, here]) assert.throws(() => structuredClone(refused), { name: "DataCloneError" });
  }
  const buffer = new Uint8Array([1, 2]).buffer;
  const { moved } = ours.structuredClone({ moved: buffer }, { transfer: [buffer] });
  assert.deepEqual([buffer.byteLength, new Uint8Array(moved)], [0, new Uint8Array([1, 2])]);
});

test("lines of the top level wait for the first call, and chance is there from then on", () => {
  ours.console.log("%s has %d of %o", "ann", 2, [{ deep: { deeper: { deepest: {} } } }], 3n);
  assert.throws(() => ours.crypto.randomUUID(), /at the top level of a script/);
  assert.deepEqual(globalThis.logged, []);
  call.begin();
  assert.deepEqual(globalThis.logged, [["info", "ann has 2 of [{ deep: { deeper: { deepest: [Object] } } }] 3n", []]]);
  assert.match(ours.crypto.randomUUID(), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.throws(() => ours.crypto.getRandomValues(new Float64Array(1)), { name: "TypeMismatchError" });
  assert.throws(() => ours.crypto.getRandomValues(new Uint8Array(65537)), { name: "QuotaExceededError" });
  const drawn = Array.from({ length: 10000 }, ourRandom);
  assert.ok(drawn.every((number) => number >= 0 && number < 1));
  assert.equal(new Set(drawn).size, drawn.length);
  const mean = drawn.reduce((sum, number) => sum + number) / drawn.length;
  assert.ok(Math.abs(mean - 0.5) < 0.05, `${mean}`);
});

test("microtasks run in their order when the call ends", () => {
  const order = [];
  ours.queueMicrotask(() => {
    order.push("first");
    ours.queueMicrotask(() => order.push("third"));
  });
  ours.queueMicrotask(() => order.push("second"));
  assert.deepEqual(order, []);
  call.runMicrotasks();
  assert.deepEqual(order, ["first", "second", "third"]);
});
