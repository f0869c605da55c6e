// Hosts of URLs: https://url.spec.whatwg.org/#host-parsing. Names beyond ASCII are refused: they need tables that are larger
// than the engine.

/** A host as it is written; throws a word about what is wrong. */
export function parseHost(text, isSpecial) {
  if (text.startsWith("[")) {
    if (!text.endsWith("]")) throw "an IPv6 address that does not end";
    return `[${writeIpv6(parseIpv6(text.slice(1, -1)))}]`;
  }
  if (!isSpecial) {
    if (/[\0\t\n\r #/:<>?@[\\\]^|]/.test(text)) throw "a character that no host has";
    return percentEncode(text, CONTROL);
  }
  const name = percentDecoded(text).toLowerCase();
  if (/[^\0-\x7f]/.test(name)) throw "a host beyond ASCII; write it as xn--…";
  if (name === "" || /[\0-\x20#%/:<>?@[\\\]^|\x7f]/.test(name)) throw "a character that no host has";
  return endsInNumber(name) ? parseIpv4(name) : name;
}

/** What each part of a URL does not show as it is. */
export const CONTROL = /[^\x20-\x7e]/gu;
export const FRAGMENT = /[^\x20-\x7e]|[ "<>`]/gu;
export const QUERY = /[^\x20-\x7e]|[ "#<>]/gu;
export const SPECIAL_QUERY = /[^\x20-\x7e]|[ "#<>']/gu;
export const PATH = /[^\x20-\x7e]|[ "#<>?^`{}]/gu;
export const USERINFO = /[^\x20-\x7e]|[ "#<>?`{}/:;=@[\\\]^|]/gu;

export function percentEncode(text, set) {
  return text.replace(set, (character) => {
    const code = character.codePointAt(0);
    return code < 0x80 ? `%${code.toString(16).toUpperCase().padStart(2, "0")}` : encodeURIComponent(character);
  });
}

/** The bytes that a text stands for, as UTF-8. */
export function percentDecoded(text) {
  if (!text.includes("%")) return text;
  const bytes = [];
  const encoded = new TextEncoder().encode(text);
  for (let at = 0; at < encoded.length; at++) {
    const digits = String.fromCharCode(encoded[at + 1], encoded[at + 2]);
    if (encoded[at] === 0x25 && /^[0-9a-f]{2}$/i.test(digits)) {
      bytes.push(parseInt(digits, 16));
      at += 2;
    } else {
      bytes.push(encoded[at]);
    }
  }
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(new Uint8Array(bytes));
}

function endsInNumber(name) {
  const parts = name.split(".");
  if (parts.at(-1) === "" && parts.length > 1) parts.pop();
  return /^(\d+|0x[0-9a-f]*)$/.test(parts.at(-1));
}

function parseIpv4(name) {
  const parts = name.split(".");
  if (parts.at(-1) === "" && parts.length > 1) parts.pop();
  if (parts.length > 4) throw "an IPv4 address of more than four numbers";
  const numbers = parts.map(parseNumber);
  const last = numbers.pop();
  if (numbers.some((number) => number > 255) || last >= 256 ** (4 - numbers.length)) throw "an IPv4 address with too large a number";
  const address = numbers.reduce((sum, number, at) => sum + number * 256 ** (3 - at), last);
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join(".");
}

function parseNumber(text) {
  const [digits, radix] = text.startsWith("0x") ? [text.slice(2), 16] : text.length > 1 && text.startsWith("0") ? [text.slice(1), 8] : [text, 10];
  if (text === "" || !{ 16: /^[0-9a-f]*$/, 10: /^\d+$/, 8: /^[0-7]*$/ }[radix].test(digits)) throw "an IPv4 address with what is no number";
  return digits === "" ? 0 : parseInt(digits, radix);
}

function parseIpv6(text) {
  const halves = text.split("::");
  if (halves.length > 2) throw "an IPv6 address with `::` twice";
  const pieces = halves.map((half) => (half === "" ? [] : half.split(":").flatMap(pieceOf)));
  const missing = 8 - pieces.flat().length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) throw "an IPv6 address of another length";
  // An IPv4 address ends it.
  if (halves.length === 2 && halves[0].includes(".")) throw "an IPv4 address inside of an IPv6 address";
  return halves.length === 2 ? [...pieces[0], ...Array(missing).fill(0), ...pieces[1]] : pieces[0];
}

function pieceOf(text, at, all) {
  if (/^[0-9a-f]{1,4}$/i.test(text)) return [parseInt(text, 16)];
  const bytes = text.split(".");
  const isIpv4 = bytes.length === 4 && bytes.every((byte) => /^(0|[1-9]\d{0,2})$/.test(byte) && byte <= 255);
  if (!isIpv4 || at !== all.length - 1) throw "an IPv6 address with what is no number";
  const [a, b, c, d] = bytes.map(Number);
  return [a * 256 + b, c * 256 + d];
}

function writeIpv6(pieces) {
  let [start, length] = [0, 1];
  for (let at = 0; at < 8; at++) {
    let end = at;
    while (pieces[end] === 0) end++;
    if (end - at > length) [start, length] = [at, end - at];
  }
  const written = (from, to) => pieces.slice(from, to).map((piece) => piece.toString(16)).join(":");
  return length === 1 ? written(0, 8) : `${written(0, start)}::${written(start + length, 8)}`;
}
