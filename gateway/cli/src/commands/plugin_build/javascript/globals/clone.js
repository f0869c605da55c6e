// structuredClone: https://html.spec.whatwg.org/multipage/structured-data.html

const ERRORS = { __proto__: null, Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };
const VIEWS = [Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array, Float64Array, BigInt64Array, BigUint64Array, DataView];
/** What has a state that no copy can have. */
const UNIQUE = [Promise, WeakMap, WeakSet, WeakRef, FinalizationRegistry];

const refused = (what) => new DOMException(`${what} could not be cloned`, "DataCloneError");

globalThis.structuredClone = function structuredClone(value, { transfer = [] } = {}) {
  const copies = new Map();
  for (const buffer of transfer) {
    if (!(buffer instanceof ArrayBuffer) || buffer.detached || copies.has(buffer)) throw refused("what is to be transferred");
    copies.set(buffer, null);
  }
  // The buffers stay where they are until nothing can fail any more.
  const moved = [...copies.keys()].map((buffer) => [buffer, buffer.slice(0)]);
  for (const [buffer, copy] of moved) copies.set(buffer, copy);
  const copy = clone(value, copies);
  for (const [buffer] of moved) buffer.transfer();
  return copy;
};

function clone(value, copies) {
  if (typeof value === "symbol") throw refused(String(value));
  if (typeof value === "function") throw refused(`function ${value.name}`);
  if (typeof value !== "object" || value === null) return value;
  if (copies.has(value)) return copies.get(value);
  if (UNIQUE.some((kind) => value instanceof kind)) throw refused(`#<${value.constructor.name}>`);
  const copy = shell(value, copies);
  copies.set(value, copy);
  fill(copy, value, copies);
  return copy;
}

/** The copy of a value without what it holds. */
function shell(value, copies) {
  if (Array.isArray(value)) return new Array(value.length);
  if (value instanceof Date) return new Date(value.getTime());
  if (value instanceof RegExp) return new RegExp(value.source, value.flags);
  if (value instanceof Map) return new Map();
  if (value instanceof Set) return new Set();
  if (value instanceof ArrayBuffer) {
    if (value.detached) throw refused("a detached ArrayBuffer");
    return value.slice(0);
  }
  const view = VIEWS.find((kind) => value instanceof kind);
  if (view !== undefined) return new view(clone(value.buffer, copies), value.byteOffset, view === DataView ? value.byteLength : value.length);
  if (value instanceof Error) {
    const error = Object.create((ERRORS[value.name] ?? Error).prototype);
    for (const name of ["stack", "message"]) {
      if (Object.hasOwn(value, name)) Object.defineProperty(error, name, { value: String(value[name]), writable: true, configurable: true });
    }
    return error;
  }
  const isBoxed = [Boolean, Number, String, BigInt].some((kind) => value instanceof kind);
  return isBoxed ? Object(value.valueOf()) : {};
}

function fill(copy, value, copies) {
  if (value instanceof Map) {
    for (const [key, item] of [...value]) copy.set(clone(key, copies), clone(item, copies));
  } else if (value instanceof Set) {
    for (const item of [...value]) copy.add(clone(item, copies));
  } else if (value instanceof Error) {
    if (Object.hasOwn(value, "cause")) Object.defineProperty(copy, "cause", { value: clone(value.cause, copies), writable: true, configurable: true });
  } else if (Array.isArray(value) || Object.getPrototypeOf(copy) === Object.prototype) {
    for (const key of Object.keys(value)) {
      Object.defineProperty(copy, key, { value: clone(value[key], copies), writable: true, enumerable: true, configurable: true });
    }
  }
}
