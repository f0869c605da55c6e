// The filter: it hides a word in what clients send, and in what they are sent.

import type { Connection, Delivery, Message, Payload, Verdict } from "hubgate:plugin/types@0.1.0";
import { hide } from "./hide.ts";

export const lifecycle = { init(): void {} };
export const inboundFilter = { inspect: (client: Connection, message: Message): Verdict => inspect(message) };
export const outboundFilter = { inspect: (delivery: Delivery, message: Message): Verdict => inspect(message) };

function inspect(message: Message): Verdict {
  const { content, error } = message;
  const hiddenContent: Payload | null = content?.tag === "json" ? { tag: "json", val: hide(content.val) } : content;
  const hiddenError = error === null ? null : hide(error);
  const isChanged = hiddenContent?.val !== content?.val || hiddenError !== error;
  return isChanged ? { tag: "replace", val: { ...message, content: hiddenContent, error: hiddenError } } : { tag: "pass" };
}
