// TextEncoder and TextDecoder, of UTF-8 alone: https://encoding.spec.whatwg.org

class TextEncoder {
  get encoding() {
    return "utf-8";
  }

  encode(text = "") {
    // One character for each byte.
    const binary = unescape(encodeURIComponent(`${text}`.toWellFormed()));
    const bytes = new Uint8Array(binary.length);
    for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at);
    return bytes;
  }

  encodeInto(text, room) {
    let [read, written] = [0, 0];
    for (const character of `${text}`.toWellFormed()) {
      const bytes = this.encode(character);
      if (written + bytes.length > room.length) break;
      room.set(bytes, written);
      written += bytes.length;
      read += character.length;
    }
    return { read, written };
  }
}

const LABELS = ["utf-8", "utf8", "unicode-1-1-utf-8", "unicode11utf8", "unicode20utf8", "x-unicode20utf8"];
const CHUNK = 8192;
const BYTE_ORDER_MARK = "\ufeff";

class TextDecoder {
  #fatal;
  #ignoreBOM;
  /** Bytes of a character that is not whole yet, of a stream. */
  #rest = new Uint8Array(0);
  #isBegun = false;

  constructor(label = "utf-8", { fatal = false, ignoreBOM = false } = {}) {
    if (!LABELS.includes(`${label}`.trim().toLowerCase())) throw new RangeError(`TextDecoder: '${label}' is not there, utf-8 alone is`);
    this.#fatal = Boolean(fatal);
    this.#ignoreBOM = Boolean(ignoreBOM);
  }

  get encoding() {
    return "utf-8";
  }

  get fatal() {
    return this.#fatal;
  }

  get ignoreBOM() {
    return this.#ignoreBOM;
  }

  decode(input = new Uint8Array(0), { stream = false } = {}) {
    let bytes = bytesOf(input);
    if (this.#rest.length > 0) bytes = joined(this.#rest, bytes);
    const end = stream ? bytes.length - unfinished(bytes) : bytes.length;
    this.#rest = bytes.slice(end);
    let text;
    try {
      text = decode(bytes.subarray(0, end), this.#fatal);
    } catch (error) {
      [this.#rest, this.#isBegun] = [new Uint8Array(0), false];
      throw error;
    }
    if (!this.#isBegun && !this.#ignoreBOM && text.startsWith(BYTE_ORDER_MARK)) text = text.slice(1);
    this.#isBegun = stream && (this.#isBegun || end > 0);
    return text;
  }
}

function bytesOf(input) {
  if (input instanceof Uint8Array) return input;
  if (ArrayBuffer.isView(input)) return new Uint8Array(input.buffer, input.byteOffset, input.byteLength);
  if (input instanceof ArrayBuffer || input instanceof SharedArrayBuffer) return new Uint8Array(input);
  throw new TypeError("TextDecoder.decode needs bytes: an ArrayBuffer or a view of one");
}

function joined(one, other) {
  const all = new Uint8Array(one.length + other.length);
  all.set(one);
  all.set(other, one.length);
  return all;
}

/** How many bytes at the end begin a character that may still come. */
function unfinished(bytes) {
  for (let length = 1; length <= Math.min(3, bytes.length); length++) {
    const at = bytes.length - length;
    const byte = bytes[at];
    if ((byte & 0xc0) === 0x80) continue;
    const isWhole = length >= lengthOf(byte) || !isStart(bytes, at, length);
    return isWhole ? 0 : length;
  }
  return 0;
}

const lengthOf = (first) => (first < 0xc2 || first > 0xf4 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4);

/** Whether the bytes there may begin a character: the second has bounds of its own. */
function isStart(bytes, at, length) {
  if (length === 1) return true;
  const [low, high] = boundsOfSecond(bytes[at]);
  return bytes[at + 1] >= low && bytes[at + 1] <= high;
}

function boundsOfSecond(first) {
  return [first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80, first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf];
}

function decode(bytes, isFatal) {
  let binary = "";
  for (let at = 0; at < bytes.length; at += CHUNK) {
    binary += String.fromCharCode.apply(null, bytes.subarray(at, at + CHUNK));
  }
  if (!/[^\x00-\x7f]/.test(binary)) return binary;
  try {
    return decodeURIComponent(escape(binary));
  } catch {
    if (isFatal) throw new TypeError("TextDecoder: the bytes are not UTF-8");
    return decodeWithReplacements(bytes);
  }
}

/** Each longest beginning of a character that does not go on becomes one U+FFFD. */
function decodeWithReplacements(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at];
    const length = lengthOf(first);
    let end = at + 1;
    if (length > 1 && end < bytes.length && isStart(bytes, at, 2)) {
      end++;
      while (end < bytes.length && end < at + length && (bytes[end] & 0xc0) === 0x80) end++;
    }
    const isWhole = end - at === length && (first < 0x80 || length > 1);
    text += isWhole ? decodeURIComponent(escape(String.fromCharCode(...bytes.subarray(at, end)))) : "\ufffd";
    at = end;
  }
  return text;
}

Object.assign(globalThis, { TextEncoder, TextDecoder });
