// The way out: what a script says to the gateway, as the contract can carry it.

/**
 * An interface of the contract that takes any texts. The contract's are UTF-8, which has nothing for one half of a surrogate
 * pair ("\ud800", as a client may send it): U+FFFD stands for it.
 */
export function imports(raw) {
  const calls = Object.entries(raw).map(([name, call]) => [name, (...values) => call(...values.map(wellFormed))]);
  return Object.freeze(Object.fromEntries(calls));
}

function wellFormed(value) {
  if (typeof value === "string") return value.toWellFormed();
  if (Array.isArray(value)) return value.map(wellFormed);
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, wellFormed(item)]));
}

/**
 * As the contract has it. Only a time that is not there is for ever; one of zero or less is over at once.
 * Throws a RangeError for NaN and Infinity, and a TypeError for what is no number.
 */
export function timeToLive(time, most) {
  if (time === null || time === undefined) return null;
  if (typeof time !== "number") throw new TypeError(`a time to live is a number, or null to last for ever, not ${typeof time === "bigint" ? "a BigInt" : `a ${typeof time}`}`);
  if (!Number.isFinite(time)) throw new RangeError(`a time to live is a finite number, or null to last for ever, not ${time}`);
  return Math.min(Math.max(0, Math.ceil(time)), most);
}
