// Write Hubgate plugins in JavaScript: `export const { lifecycle, upstream } = handler({ … })`, then `hubgate plugin build`.
// What is not wrapped here is in the contract's own modules, "hubgate:plugin/hub@0.1.0" and so on.

import configOfContract from "hubgate:plugin/config@0.1.0";
import connectionsOfContract from "hubgate:plugin/connections@0.1.0";
import { imports } from "./imports.js";

export { default as context } from "hubgate:plugin/context@0.1.0";
export const config = imports(configOfContract);
export const connections = imports(connectionsOfContract);
export { close, drop, fail, reject } from "./answers.js";
export { Message, filter } from "./filter.js";
export { handler, takes } from "./handler.js";
export * as hub from "./hub.js";
export * as log from "./log.js";
export { AuthorizeRequest, forbidden, negotiator, unauthorized } from "./negotiator.js";
export { json, msgpack } from "./payload.js";
export * as state from "./state.js";
