// The traces that the gateway tells while somebody watches: kept by their ids, and no more than can be looked at.

/** The most traces that are kept; the oldest goes. */
export const MOST_TRACES = 200;
/** The most spans of one trace; those that come later are counted. */
export const MOST_SPANS = 100;
/** The most that is kept of a payload, in characters. */
export const LONGEST_PAYLOAD = 4_000;

export interface Span {
  span: string;
  parent: string | null;
  name: string;
  /** In microseconds since 1970. */
  begin: number;
  micros: number;
  failed: string | null;
  attributes: [string, string][];
  /** Arguments, where they were asked for. */
  payload: string | null;
}

export interface Trace {
  id: string;
  spans: Span[];
  /** Spans beyond MOST_SPANS. */
  more: number;
}

/** Newest first. */
export interface Traces {
  all: Trace[];
  /** Traces beyond MOST_TRACES, in number. */
  dropped: number;
}

export const NONE: Traces = { all: [], dropped: 0 };

/** A span as it came; null where it is none. */
export function spanOf(json: string): { trace: string; span: Span } | null {
  const told: unknown = JSON.parse(json);
  if (typeof told !== "object" || told === null) {
    return null;
  }
  const { trace, span, parent, name, at, micros, failed, attributes } = told as Record<string, unknown>;
  const begin = microsOf(String(at));
  if (typeof trace !== "string" || typeof span !== "string" || begin === null) {
    return null;
  }
  const all = Object.entries(typeof attributes === "object" && attributes !== null ? attributes : {}).filter(([, value]) => value !== null);
  const payload = all.find(([key]) => key === "arguments")?.[1];
  return {
    trace,
    span: {
      span,
      parent: typeof parent === "string" ? parent : null,
      name: String(name),
      begin,
      micros: Number(micros) || 0,
      failed: typeof failed === "string" ? failed : null,
      attributes: all.filter(([key]) => key !== "arguments").map(([key, value]) => [key, text(value)]),
      payload: payload === undefined ? null : bounded(text(payload)),
    },
  };
}

function text(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function bounded(payload: string): string {
  const over = payload.length - LONGEST_PAYLOAD;
  return over > 0 ? `${payload.slice(0, LONGEST_PAYLOAD)} … and ${over} characters more` : payload;
}

/** `2026-12-01T12:00:00.000123Z` */
function microsOf(at: string): number | null {
  const millis = Date.parse(at);
  if (Number.isNaN(millis)) {
    return null;
  }
  const fraction = /\.(\d+)/.exec(at)?.[1] ?? "";
  return Math.floor(millis / 1000) * 1e6 + Number(fraction.padEnd(6, "0").slice(0, 6));
}

/** With spans that have come, in their order. A trace keeps its place as it grows. */
export function withSpans(traces: Traces, come: { trace: string; span: Span }[]): Traces {
  const known = new Map(traces.all.map((trace) => [trace.id, trace]));
  const begun: string[] = [];
  for (const { trace: id, span } of come) {
    const trace = known.get(id);
    if (!trace) {
      begun.push(id);
      known.set(id, { id, spans: [span], more: 0 });
    } else if (trace.spans.length < MOST_SPANS) {
      known.set(id, { ...trace, spans: [...trace.spans, span] });
    } else {
      known.set(id, { ...trace, more: trace.more + 1 });
    }
  }
  const ids = [...begun.reverse(), ...traces.all.map(({ id }) => id)];
  const all = ids.slice(0, MOST_TRACES).map((id) => known.get(id)!);
  return { all, dropped: traces.dropped + ids.length - all.length };
}

export interface Row {
  span: Span;
  /** How far below the first span, 0 for itself. */
  depth: number;
}

/** The spans of a trace as a tree, written from the top: each before what it has caused, and in the order of their times. */
export function tree(spans: Span[]): Row[] {
  const ids = new Set(spans.map(({ span }) => span));
  const children = new Map<string | null, Span[]>();
  for (const span of spans) {
    // Its cause may be told later, or be of another gateway.
    const cause = span.parent !== null && ids.has(span.parent) && span.parent !== span.span ? span.parent : null;
    children.set(cause, [...(children.get(cause) ?? []), span]);
  }
  const rows: Row[] = [];
  const add = (cause: string | null, depth: number) => {
    const of = children.get(cause) ?? [];
    children.delete(cause);
    for (const span of of.sort((a, b) => a.begin - b.begin || b.micros - a.micros)) {
      rows.push({ span, depth });
      add(span.span, depth + 1);
    }
  };
  add(null, 0);
  return rows;
}

/** When the first span of these began and the last one ended, in microseconds. */
export function extent(spans: Span[]): { begin: number; micros: number } {
  const begin = Math.min(...spans.map((span) => span.begin));
  return { begin, micros: Math.max(...spans.map((span) => span.begin + span.micros)) - begin };
}

/** What is known of a trace as a whole, by what it begins with as far as that has been told. */
export function about({ spans }: Trace): { name: string; failed: string | null; begin: number; micros: number; of: (key: string) => string | null } {
  const first = tree(spans)[0]!.span;
  const known = new Map([...spans, first].flatMap(({ attributes }) => attributes));
  const of = (key: string) => known.get(key) ?? null;
  const failed = first.failed ?? spans.find((span) => span.failed !== null)?.failed ?? null;
  return { name: nameOf(first), failed, ...extent(spans), of };
}

/** A call, `HUB/METHOD`, is named by its method: its hub is said beside it. */
export function nameOf({ name, attributes }: Span): string {
  const [, method] = attributes.find(([key]) => key === "method") ?? [];
  return method !== undefined && name.endsWith(`/${method}`) ? method : name;
}
