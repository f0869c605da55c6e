// Chance, all of it from the gateway. The engine's own state is part of the component: each instance would draw the same numbers.

import context from "hubgate:plugin/context@0.1.0";
import { serves } from "./call.js";

/** So many bytes the gateway gives at a time. */
const MOST_AT_A_TIME = 65536;
const QUOTA = 65536;

function bytes(length) {
  if (!serves()) throw new Error("there are no random bytes at the top level of a script, which runs once, when the component is built: ask for them in a handler or in `init`");
  return context.random(length);
}

const INTEGERS = [Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, BigInt64Array, BigUint64Array];

class Crypto {
  getRandomValues(array) {
    if (!INTEGERS.some((kind) => array instanceof kind)) throw new DOMException("getRandomValues needs an array of integers", "TypeMismatchError");
    if (array.byteLength > QUOTA) throw new DOMException(`getRandomValues gives ${QUOTA} bytes at most, not ${array.byteLength}`, "QuotaExceededError");
    const room = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    for (let at = 0; at < room.length; at += MOST_AT_A_TIME) {
      room.set(bytes(Math.min(MOST_AT_A_TIME, room.length - at)), at);
    }
    return array;
  }

  randomUUID() {
    const random = this.getRandomValues(new Uint8Array(16));
    random[6] = (random[6] & 0x0f) | 0x40;
    random[8] = (random[8] & 0x3f) | 0x80;
    const digits = Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  }
}

for (const [name, value] of Object.entries({ Crypto, crypto: new Crypto() })) {
  Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
}

const duringBuild = Math.random;
/** The four numbers of sfc32, 32 bits each: not for secrets, as everywhere. */
let a, b, c, d;

Math.random = function random() {
  if (d === undefined) {
    if (!serves()) return duringBuild();
    [a, b, c, d] = new Int32Array(bytes(16).slice().buffer);
  }
  const high = (a + b + d) | 0;
  a = b ^ (b >>> 9);
  b = (c + (c << 3)) | 0;
  c = (((c << 21) | (c >>> 11)) + high) | 0;
  const low = (a + b + d + 1) | 0;
  d = (d + 2) | 0;
  a = b ^ (b >>> 9);
  b = (c + (c << 3)) | 0;
  c = (((c << 21) | (c >>> 11)) + low) | 0;
  return ((high >>> 0) * 0x200000 + (low >>> 11)) / 0x20000000000000;
};
