// Texts as bytes: QuickJS has no TextEncoder.

export function encode(text) {
  const bytes = [];
  for (const character of text.toWellFormed()) {
    const point = character.codePointAt(0);
    if (point < 0x80) bytes.push(point);
    else if (point < 0x800) bytes.push(0xc0 | (point >> 6), tail(point));
    else if (point < 0x10000) bytes.push(0xe0 | (point >> 12), tail(point >> 6), tail(point));
    else bytes.push(0xf0 | (point >> 18), tail(point >> 12), tail(point >> 6), tail(point));
  }
  return new Uint8Array(bytes);
}

const tail = (bits) => 0x80 | (bits & 0x3f);

/** Reads what `encode` wrote. */
export function decode(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at++];
    const length = first < 0x80 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
    let point = length === 0 ? first : first & (0x3f >> length);
    for (let left = length; left > 0; left--) point = (point << 6) | (bytes[at++] & 0x3f);
    text += String.fromCodePoint(point);
  }
  return text;
}
