// Watching messages on their way: `GET /admin/trace`, from when somebody starts it until they stop or leave the page.

import { batch, effect, signal } from "@preact/signals";
import { query, request, words } from "./api";
import { type ServerEvent, follow } from "./events";
import { session } from "./session";
import { NONE, type Traces, spanOf, withSpans } from "./traces";

/** The gateway says something every 15 seconds at least. */
const PATIENCE = 60_000;
/** How often what has come is shown. */
const SHOWN_EVERY = 250;
/** Spans that wait to be shown, at most: a page that nobody sees shows nothing. */
const MOST_WAITING = 2_000;

export const FIELDS = [
  ["hub", "Hub"],
  ["user", "User"],
  ["connection", "Connection id"],
  ["method", "Method"],
] as const;

export type Wanted = Partial<Record<(typeof FIELDS)[number][0] | "payloads", string>>;

export const traces = signal<Traces>(NONE);
/** Spans that the gateway had no room for. */
export const missed = signal(0);
/** What is watched now; null while nothing is. */
export const watched = signal<Wanted | null>(null);
/** Whether the gateway has begun to tell. */
export const isTold = signal(false);
/** Why it ended, where nobody ended it here. */
export const ended = signal<string | null>(null);

let until: AbortController | null = null;

/** Begins anew, with what has been seen so far. */
export async function watch(wanted: Wanted): Promise<void> {
  stop();
  const mine = new AbortController();
  until = mine;
  batch(() => {
    watched.value = wanted;
    ended.value = null;
  });
  const waiting = waitingRoom();
  let why: string;
  try {
    const response = await request("GET", `admin/trace${query(wanted)}`, { until: mine });
    isTold.value = true;
    await follow(response, mine.signal, PATIENCE, waiting.take);
    why = "The gateway has ended the trace.";
  } catch (error) {
    why = words(error);
  }
  waiting.close();
  if (until === mine) {
    batch(() => {
      stop();
      ended.value = why;
    });
  }
}

export function stop(): void {
  until?.abort();
  until = null;
  watched.value = null;
  isTold.value = false;
}

export function clear(): void {
  batch(() => {
    traces.value = NONE;
    missed.value = 0;
  });
}

/** Shows what comes now and then, and not each span by itself. */
function waitingRoom() {
  // What one session has opened is not shown to the next one.
  const belongsTo = session.peek();
  const isOver = () => belongsTo !== session.peek();
  let waiting: NonNullable<ReturnType<typeof spanOf>>[] = [];
  const show = () => {
    if (waiting.length && !isOver()) {
      traces.value = withSpans(traces.value, waiting);
    }
    waiting = [];
  };
  const timer = setInterval(show, SHOWN_EVERY);
  const take = ({ type, data }: ServerEvent) => {
    if (type === "missed" && !isOver()) {
      missed.value += Number(JSON.parse(data).count) || 0;
    }
    const span = type === "span" ? spanOf(data) : null;
    if (span && waiting.push(span) >= MOST_WAITING) {
      show();
    }
  };
  const close = () => {
    clearInterval(timer);
    show();
  };
  return { take, close };
}

/** What one session has seen is not the next one's. */
export function startWatching(): void {
  effect(() => {
    session.value;
    stop();
    clear();
    ended.value = null;
  });
}
