// The plugin's log. Fields are an object of texts and numbers; `console` writes here, too.

import contract from "hubgate:plugin/log@0.1.0";
import { imports } from "./imports.js";

const raw = imports(contract);

export const debug = (text, fields) => write("debug", text, fields);
export const info = (text, fields) => write("info", text, fields);
export const warn = (text, fields) => write("warn", text, fields);
export const error = (text, fields) => write("error", text, fields);

function write(level, text, fields = {}) {
  raw.write(level, `${text}`, Object.entries(fields).map(([name, value]) => ({ name, value: `${value}` })));
}
