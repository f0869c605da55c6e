// A moderation filter: it looks at what clients say, before any handler or hub server does.

import { config, filter, log, reject, state } from "hubgate";
import type { Connection, Message } from "hubgate";
import { wordList } from "./words.ts";
import type { Words } from "./words.ts";

interface Settings {
  words: Words;
  /** Whether a word is masked rather than refused. */
  masks: boolean;
  /** How often a user may say the same within the time. */
  repeats: number;
  withinMs: number;
}

let settings: Settings;

function number(key: string, whenMissing: number): number {
  const text = config.get(key) ?? String(whenMissing);
  if (!/^\d{1,9}$/.test(text)) throw `config.${key} is "${text}", which is no whole number`;
  return Number(text);
}

function read(): Settings {
  const action = config.get("action") ?? "mask";
  if (action !== "mask" && action !== "reject") throw `config.action is "${action}"; it can be "mask" or "reject"`;
  return {
    words: wordList(config.get("words") ?? ""),
    masks: action === "mask",
    repeats: number("repeats", 3),
    withinMs: 1000 * number("seconds", 30),
  };
}

/** All texts of a value, wherever they stand. */
function texts(value: unknown): string[] {
  if (typeof value === "string") return [value];
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(texts) : [];
}

function refuse(client: Connection, text: string, why: string): never {
  // What was said is nobody's business.
  log.info("refused", { user: client.userId, connection: client.id, why });
  return reject(text);
}

/** Counts what a user says, by a number that stands for it: what was said is not kept. */
function checkRepeats(client: Connection, said: string): void {
  if (settings.repeats === 0 || said.trim() === "") return;
  let sum = 0;
  for (const letter of said.toLowerCase().replace(/\s+/g, " ")) sum = (Math.imul(sum, 31) + (letter.codePointAt(0) ?? 0)) | 0;
  const key = `said/${client.userId ?? client.id}/${sum}`;
  if (state.increment(key, 1, settings.withinMs) <= settings.repeats) return;
  refuse(client, "You have said that several times. Please wait a little.", "repeats");
}

function inspect(client: Connection, message: Message): Message | void {
  if (message.kind === "completion") return;
  const said = texts(message.value);
  checkRepeats(client, said.join("\n"));
  const word = said.map((text) => settings.words.find(text)).find((found) => found !== null);
  if (word === undefined) return;
  if (!settings.masks) refuse(client, `Please say it without "${word}".`, "word");
  return message.mapTexts(settings.words.mask);
}

export const { lifecycle, inboundFilter } = filter({
  init() {
    settings = read();
  },
  inbound: inspect,
});
