// The filter: it hides a word in what clients send, and in what they are sent.

import { filter } from "hubgate";
import { hide } from "./hide.js";

export const { lifecycle, inboundFilter, outboundFilter } = filter({
  inbound: (client, message) => message.mapTexts(hide),
  outbound: (delivery, message) => message.mapTexts(hide),
});
