// Streams to clients: opened by a call of theirs, fed and ended now or in any later call.

import contract from "hubgate:plugin/streams@0.1.0";
import { fail } from "./answers.js";
import { imports } from "./imports.js";
import { json } from "./payload.js";

const raw = imports(contract);

/** A stream to a client, or the answer that a call with uploads still waits for. What is done to it takes effect at once. */
export class Stream {
  #room = null;
  #isOpen = true;

  constructor(id, uploads = []) {
    this.id = id;
    /** The ids of the streams that came with the call, in the order of its parameters. */
    this.uploads = uploads;
  }

  /** A stream that an earlier call has opened. */
  static fromId(id) {
    return new Stream(id);
  }

  /** For the kind of hub, which is told the room. */
  static withRoom(id, room) {
    const stream = new Stream(id);
    stream.#room = room;
    return stream;
  }

  /** How many `items`, and `bytes` of them, there is room for; null before the first push. */
  get room() {
    return this.#room;
  }

  /** Whether it is open, as far as what was done to it by this object has shown. */
  get isOpen() {
    return this.#isOpen;
  }

  /**
   * Sends an item; says whether it did. It does not where there is no room, and then `writable` comes once there is some; and
   * where the stream is over, and then nothing comes.
   */
  push(item) {
    return this.pushAll([item]);
  }

  /** Sends all of the items, in order, or none; says whether it did, as `push`. */
  pushAll(items) {
    try {
      this.#room = raw.push(this.id, Array.from(items, payloadOf));
      return true;
    } catch (error) {
      const { tag, val } = error?.payload ?? {};
      if (tag === "full") this.#room = val;
      else if (tag === "no-such-stream") this.#isOpen = false;
      else throw worded(error);
      return false;
    }
  }

  /** Ends it, or answers the call without a value; says whether it was still open. */
  finish() {
    return this.#finish({ tag: "ok", val: null });
  }

  /** Answers the call that came with uploads; says whether it was still open. A stream of items has no such value. */
  answer(value) {
    return this.#finish({ tag: "ok", val: payloadOf(value) });
  }

  /** Ends it with an error that the client sees; says whether it was still open. */
  reject(text) {
    return this.#finish({ tag: "err", val: { tag: "rejected", val: `${text}` } });
  }

  /** Ends it with an error for the log, of which the client is told that it did not work; says whether it was still open. */
  fail(text) {
    return this.#finish({ tag: "err", val: { tag: "failed", val: `${text}` } });
  }

  #finish(outcome) {
    this.#isOpen = false;
    try {
      raw.finish(this.id, outcome);
      return true;
    } catch (error) {
      if (error?.payload?.tag === "no-such-stream") return false;
      throw worded(error);
    }
  }
}

/** A payload goes as it is; all else becomes JSON. */
function payloadOf(value) {
  if (value?.tag === "msgpack" && value.val instanceof Uint8Array) return value;
  if (typeof value?.then === "function") fail("a stream was given a promise, and nobody waits for it: give the value");
  return json(value);
}

/** Puts words to what the gateway says; `error.payload` stays. */
function worded(error) {
  const { tag, val } = error?.payload ?? {};
  if (tag === "too-large") error.message = "stream: what is pushed would never fit";
  else if (tag !== undefined) error.message = `stream: ${val ?? tag}`;
  return error;
}
