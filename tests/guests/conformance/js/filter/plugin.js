// The filter of the conformance suite: see README.md above.

import { close, config, drop, filter, reject } from "hubgate";

export const { lifecycle, inboundFilter, outboundFilter } = filter({
  inbound: (client, message) => look(message, "in:"),
  outbound: (delivery, message) => look(message, "out:"),
});

function look(message, way) {
  const { value } = message;
  const first = Array.isArray(value) ? value[0] : value;
  const wish = typeof first === "string" ? first : "";
  switch (wish.startsWith(way) ? wish.slice(way.length) : wish) {
    case "reject":
      return reject("The filter says no.");
    case "drop":
      return drop();
    case "close":
      return close("The filter has had enough.");
    case "crash":
      throw new Error("The filter crashes.");
    case "mark":
      return Array.isArray(value) ? message.replace({ value: [...value, config.get("mark")] }) : undefined;
  }
}
