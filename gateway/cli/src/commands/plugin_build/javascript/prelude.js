// What the gateway's build runs before a script, and puts around what it exports.

const { parse, rawJSON } = JSON;
const SIXTEEN_DIGITS = /\d{16}/;
const INTEGER = /^-?\d+$/;

/** Integers that a number would lose digits of are BigInts, here and on their way back. */
JSON.parse = function (text, ...reviver) {
  const exact = (key, value, { source }) =>
    typeof value === "number" && !Number.isSafeInteger(value) && INTEGER.test(source) ? BigInt(source) : value;
  return reviver.length === 0 && SIXTEEN_DIGITS.test(text) ? parse(text, exact) : parse(text, ...reviver);
};
BigInt.prototype.toJSON = function () {
  return rawJSON(String(this));
};

const AsyncFunction = (async () => {}).constructor;
const AsyncGeneratorFunction = (async function* () {}).constructor;

/** How an error of the script's becomes one of the contract's; what this gives breaks the call off if it is an Error. */
const errors = {
  __proto__: null,
  lifecycle: (error) => (typeof error === "string" ? error : words(error)),
  upstream: (error) => (["rejected", "failed"].includes(error?.tag) ? error : { tag: "failed", val: words(error) }),
  inboundFilter: (error) => new Error(words(error)),
  outboundFilter: (error) => new Error(words(error)),
};

function words(error) {
  return typeof error === "string" ? error : (JSON.stringify(error) ?? String(error));
}

/** One half of what the script exports, with a word about what could not work. */
export function guard(script, half) {
  const functions = script[half];
  if (functions === undefined || functions === null) return functions;
  const guarded = {};
  for (const name of ["init", "connected", "disconnected", "invoke", "inspect"]) {
    const handle = functions[name];
    if (typeof handle !== "function") continue;
    const place = `${half}.${name}`;
    if (handle instanceof AsyncFunction || handle instanceof AsyncGeneratorFunction) {
      throw new Error(`\`${place}\` is async, and nobody waits for it: the gateway wants the answer at once. Make it a plain function; the imports need no await`);
    }
    guarded[name] = (...values) => call(half, place, () => handle.apply(functions, values));
  }
  return guarded;
}

function call(half, place, handle) {
  let answer;
  try {
    answer = handle();
  } catch (error) {
    // Errors of imports are Errors with what the contract says of them.
    if (error instanceof Error && error.payload === undefined) throw error;
    throw errors[half](error instanceof Error ? error.payload : error);
  }
  if (typeof answer?.then === "function") {
    throw errors[half](`\`${place}\` has answered with a promise, and nobody waits for it: answer at once, without async`);
  }
  return answer;
}
