// The filter: it hides a word in what clients send, and in what they are sent.

import { hide } from "./hide.js";

export const lifecycle = { init() {} };
export const inboundFilter = { inspect: (client, message) => inspect(message) };
export const outboundFilter = { inspect: (delivery, message) => inspect(message) };

function inspect(message) {
  const { content, error } = message;
  const hidden = {
    ...message,
    content: content?.tag === "json" ? { tag: "json", val: hide(content.val) } : content,
    error: error === null ? null : hide(error),
  };
  const isChanged = hidden.content?.val !== content?.val || hidden.error !== error;
  return isChanged ? { tag: "replace", val: hidden } : { tag: "pass" };
}
