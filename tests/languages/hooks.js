// The gateway's interfaces, for scripts that run in Node.js.

const interfaces = {
  "hubgate:plugin/log@0.1.0": "export default { write: (...line) => globalThis.logged.push(line) };",
  "hubgate:plugin/context@0.1.0": "export default { random: (length) => globalThis.random(length) };",
};

export function resolve(specifier, context, next) {
  const source = interfaces[specifier];
  return source === undefined ? next(specifier, context) : { url: `data:text/javascript,${encodeURIComponent(source)}`, shortCircuit: true };
}
