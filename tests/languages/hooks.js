// The gateway's interfaces, for scripts that run in Node.js.

const OF_CONTRACT = /^hubgate:plugin\/(.*)@0\.1\.0$/;
const interfaces = {
  log: "export default { write: (...line) => globalThis.logged.push(line) };",
  context: "export default { random: (length) => globalThis.random(length) };",
};

/** Those that a test says nothing about are what it has put into `contract`. */
export function resolve(specifier, context, next) {
  const name = OF_CONTRACT.exec(specifier)?.[1];
  if (name === undefined) return next(specifier, context);
  const source = interfaces[name] ?? `export default globalThis.contract[${JSON.stringify(name)}];`;
  return { url: `data:text/javascript,${encodeURIComponent(source)}`, shortCircuit: true };
}
