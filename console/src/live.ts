// What the gateway does now, asked every other second while somebody looks, and what it did in the last quarter of an hour.

import { batch, computed, effect, signal } from "@preact/signals";
import { ApiError, read, readText, words } from "./api";
import { forgetKept, keep, recall } from "./kept";
import { type Metrics, growth, parse, select, sum } from "./metrics";
import { isSignedIn, session } from "./session";
import type { Cluster, Hub, Plugin } from "./types";

const PERIOD = 2_000;
/** Rates need two samples: whoever has just come does not wait for the second one. */
const FIRST_PERIOD = 500;
/** Hubs, plugins and nodes are asked every so many times. */
const EVERY = 2;
/** A quarter of an hour. */
const LONGEST_HISTORY = 450;
/** What rates are taken over, in samples: a few, so that they do not jump. */
const RATE_OVER = 5;
/** What "the last minute" is, in samples. */
const MINUTE = 30;
/** Hubs whose history is kept. */
const MOST_HUBS = 50;

/** Causes of an end that a client did not choose and an operator did not order. */
export const FAULTS = new Set([
  "BadRequest",
  "HandshakeError",
  "InternalError",
  "InvokeUpstreamFailed",
  "NoAvailableServerConnection",
  "ServerConnectionClosed",
  "ServerConnectionNotFound",
  "SlowClient",
]);
/** Outcomes of calls with which nothing is wrong, or only the caller. */
const WELL = new Set(["ok", "rejected"]);
export const isFault = (reason: string) => FAULTS.has(reason);
export const isFailure = (outcome: string) => !WELL.has(outcome);

export interface Rates {
  clients: number;
  messagesIn: number;
  messagesOut: number;
  bytesIn: number;
  bytesOut: number;
  failedCalls: number;
  refusedRequests: number;
  lostClients: number;
}

export interface Point {
  /** In seconds since 1970. */
  at: number;
  /** Null where the gateway was not asked, or did not answer. */
  rates: Rates | null;
  hubs: Map<string, HubRates>;
}

export type HubRates = Pick<Rates, "clients" | "messagesIn" | "messagesOut">;

interface Sample {
  at: number;
  metrics: Metrics;
}

export const history = signal<Point[]>([]);
export const hubs = signal<Map<string, Hub> | null>(null);
export const plugins = signal<Plugin[] | null>(null);
/** Undefined until it is known; null where the gateway serves alone. */
export const cluster = signal<Cluster | null | undefined>(undefined);
/** Since when the gateway does not answer, and what it said. */
export const away = signal<{ since: number; why: string } | null>(null);
/** The present moment, for what says how long ago something was. */
export const now = signal(Date.now());

const samples = signal<Sample[]>([]);

/** The counters' growth in the last minute, or since the console was opened; gauges as they are. */
export const lastMinute = computed<{ metrics: Metrics; seconds: number } | null>(() => since(MINUTE));
const lately = computed(() => since(RATE_OVER));
export const latest = computed<Metrics | null>(() => samples.value.at(-1)?.metrics ?? null);

/** Rates of all hubs together, over some seconds. */
export const rates = computed<Rates | null>(() => lately.value && ratesOf(lately.value.metrics, lately.value.seconds));

const ratesOfHubs = computed(() => lately.value && byHub(lately.value.metrics, lately.value.seconds));

/** A hub's rates over some seconds; null where nothing is known of it. */
export function hubRates(hub: string): HubRates | null {
  return ratesOfHubs.value?.get(hub) ?? null;
}

/** The sample so many before the last one, or the first one. */
function earlier(all: Sample[], back: number): Sample | undefined {
  return all.at(-1 - back) ?? all[0];
}

function since(back: number): { metrics: Metrics; seconds: number } | null {
  const [last, first] = [samples.value.at(-1), earlier(samples.value, back)];
  if (!last || !first || last === first) {
    return null;
  }
  return { metrics: growth(last.metrics, first.metrics), seconds: last.at - first.at };
}

/** All hubs in one go: there may be a thousand. */
function byHub(grown: Metrics, seconds: number): Map<string, HubRates> {
  const found = new Map<string, HubRates>();
  const of = (name = "") => {
    const known = found.get(name) ?? { clients: 0, messagesIn: 0, messagesOut: 0 };
    found.set(name, known);
    return known;
  };
  for (const { labels, value } of select(grown, "hubgate_client_connections")) {
    of(labels["hub"]).clients += value;
  }
  for (const { labels, value } of select(grown, "hubgate_messages_total")) {
    of(labels["hub"])[labels["direction"] === "in" ? "messagesIn" : "messagesOut"] += value / seconds;
  }
  return found;
}

function messageRates(grown: Metrics, seconds: number) {
  const of = (name: string, direction: string) => sum(grown, name, { direction }) / seconds;
  return {
    messagesIn: of("hubgate_messages_total", "in"),
    messagesOut: of("hubgate_messages_total", "out"),
    bytesIn: of("hubgate_message_bytes_total", "in"),
    bytesOut: of("hubgate_message_bytes_total", "out"),
  };
}

function ratesOf(grown: Metrics, seconds: number): Rates {
  return {
    clients: sum(grown, "hubgate_client_connections"),
    ...messageRates(grown, seconds),
    failedCalls: sum(grown, "hubgate_plugin_calls_total", { outcome: isFailure }) / seconds,
    refusedRequests: sum(grown, "hubgate_requests_refused_total") / seconds,
    lostClients: sum(grown, "hubgate_client_connections_closed_total", { reason: isFault }) / seconds,
  };
}

function pointOf(last: Sample, before: Sample | undefined): Point {
  if (!before) {
    return { at: last.at, rates: null, hubs: new Map() };
  }
  const [grown, seconds] = [growth(last.metrics, before.metrics), last.at - before.at];
  const busiest = [...byHub(grown, seconds)].sort(([, a], [, b]) => b.clients - a.clients).slice(0, MOST_HUBS);
  return { at: last.at, rates: ratesOf(grown, seconds), hubs: new Map(busiest) };
}

/** Asks for hubs, plugins and nodes again, after a change. */
export async function refresh(): Promise<void> {
  const mine = session.value;
  const [newHubs, newPlugins, newCluster] = await Promise.all([
    read<{ hubs: Record<string, Hub> }>("admin/hubs"),
    read<{ plugins: Plugin[] }>("admin/plugins"),
    cluster.value === null ? null : clusterOrNone(),
  ]);
  if (mine !== session.value) {
    return;
  }
  batch(() => {
    hubs.value = new Map(Object.entries(newHubs.hubs).sort(([a], [b]) => a.localeCompare(b)));
    plugins.value = newPlugins.plugins;
    cluster.value = newCluster;
  });
}

async function clusterOrNone(): Promise<Cluster | null> {
  try {
    return await read<Cluster>("admin/cluster");
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) {
      return null;
    }
    throw error;
  }
}

async function sampleOnce(): Promise<void> {
  const mine = session.value;
  const metrics = parse(await readText("metrics"));
  if (mine !== session.value) {
    return;
  }
  const sample = { at: Date.now() / 1000, metrics };
  const before = samples.value.at(-1);
  // After a time that nobody looked, rates over it would say little, and the chart has a gap.
  const follows = before && sample.at - before.at < (5 * PERIOD) / 1000 ? before : undefined;
  const kept = [...(follows ? samples.value : []), sample].slice(-MINUTE - 1);
  batch(() => {
    samples.value = kept;
    history.value = [...history.value, pointOf(sample, follows && earlier(kept, RATE_OVER))].slice(-LONGEST_HISTORY);
  });
}

async function poll(round: number): Promise<void> {
  const mine = session.value;
  try {
    await sampleOnce();
    if (round % EVERY === 0) {
      await refresh();
    }
    away.value = null;
  } catch (error) {
    if (mine === session.value && isSignedIn.value) {
      away.value = { since: away.peek()?.since ?? Date.now(), why: words(error) };
    }
  }
  now.value = Date.now();
}

/** Polls as long as somebody is signed in and looks. */
export function start(): void {
  if (isSignedIn.value) {
    history.value = recall(Date.now() / 1000 - (LONGEST_HISTORY * PERIOD) / 1000);
  }
  addEventListener("pagehide", () => {
    if (isSignedIn.value) {
      keep(history.value);
    }
  });
  effect(() => {
    const mine = session.value;
    if (!isSignedIn.value) {
      forget();
      return;
    }
    let timer: ReturnType<typeof setTimeout>;
    let round = 0;
    const step = async () => {
      if (!document.hidden) {
        await poll(round);
        round += 1;
      }
      if (mine === session.peek()) {
        timer = setTimeout(step, round === 1 ? FIRST_PERIOD : PERIOD);
      }
    };
    // Outside of the effect, which would otherwise follow what is read there.
    timer = setTimeout(step, 0);
    return () => clearTimeout(timer);
  });
}

function forget(): void {
  forgetKept();
  batch(() => {
    history.value = [];
    samples.value = [];
    hubs.value = null;
    plugins.value = null;
    cluster.value = undefined;
    away.value = null;
  });
}
