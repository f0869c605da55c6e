// The metrics as `GET /metrics` writes them (OpenMetrics text, docs/metrics.md).

export interface Series {
  labels: Record<string, string>;
  /** The labels as they were written, which tells the series of a metric from each other. */
  key: string;
  value: number;
}

/** The series of each metric, by its name. */
export type Metrics = Map<string, Series[]>;

export function parse(text: string): Metrics {
  const metrics: Metrics = new Map();
  for (const line of text.split("\n")) {
    const series = line.startsWith("#") ? null : parseLine(line);
    if (series) {
      const [name, one] = series;
      const known = metrics.get(name);
      if (known) {
        known.push(one);
      } else {
        metrics.set(name, [one]);
      }
    }
  }
  return metrics;
}

function parseLine(line: string): [string, Series] | null {
  const name = /^[a-zA-Z_:][a-zA-Z0-9_:]*/.exec(line)?.[0];
  if (!name) {
    return null;
  }
  const labels: Record<string, string> = Object.create(null);
  let rest = line.slice(name.length);
  let key = "";
  if (rest.startsWith("{")) {
    const label = /[{,]\s*([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"/y;
    let end = 0;
    for (let match = label.exec(rest); match; match = label.exec(rest)) {
      labels[match[1]!] = unescape(match[2]!);
      end = label.lastIndex;
    }
    const closing = rest.indexOf("}", end);
    if (closing < 0) {
      return null;
    }
    key = rest.slice(0, closing);
    rest = rest.slice(closing + 1);
  }
  const value = rest.trim().split(/\s+/)[0] ?? "";
  const number = value === "+Inf" ? Infinity : Number(value);
  return value === "" || Number.isNaN(number) ? null : [name, { labels, key, value: number }];
}

function unescape(text: string): string {
  return text.replace(/\\(.)/g, (_, escaped: string) => (escaped === "n" ? "\n" : escaped));
}

export type Labels = Record<string, string | ((value: string) => boolean)>;

export function matches(series: Series, labels: Labels): boolean {
  return Object.entries(labels).every(([name, wanted]) => {
    const value = series.labels[name] ?? "";
    return typeof wanted === "string" ? value === wanted : wanted(value);
  });
}

export function select(metrics: Metrics, name: string, labels: Labels = {}): Series[] {
  return (metrics.get(name) ?? []).filter((series) => matches(series, labels));
}

export function sum(metrics: Metrics, name: string, labels: Labels = {}): number {
  return select(metrics, name, labels).reduce((total, series) => total + series.value, 0);
}

/** What one label's values come to, the largest first; those of 0 are left out. */
export function by(metrics: Metrics, name: string, label: string, labels: Labels = {}): [string, number][] {
  const totals = new Map<string, number>();
  for (const series of select(metrics, name, labels)) {
    const value = series.labels[label] ?? "";
    totals.set(value, (totals.get(value) ?? 0) + series.value);
  }
  return [...totals].filter(([, total]) => total > 0).sort((a, b) => b[1] - a[1]);
}

/** What counters have grown by; a counter that went back began anew. Gauges are as they are now. */
export function growth(now: Metrics, before: Metrics): Metrics {
  const grown: Metrics = new Map();
  for (const [name, series] of now) {
    if (!/_(total|count|sum|bucket)$/.test(name)) {
      grown.set(name, series);
      continue;
    }
    const old = new Map((before.get(name) ?? []).map(({ key, value }) => [key, value]));
    const difference = (one: Series) => {
      const was = old.get(one.key) ?? 0;
      return { ...one, value: one.value < was ? one.value : one.value - was };
    };
    grown.set(name, series.map(difference));
  }
  return grown;
}

/** The smallest bound of a histogram's buckets below which that part of its values is; null where it has none. */
export function quantile(metrics: Metrics, name: string, part: number, labels: Labels): number | null {
  const buckets = by(metrics, `${name}_bucket`, "le", labels)
    .map(([bound, total]) => [bound === "+Inf" ? Infinity : Number(bound), total] as const)
    .sort((a, b) => a[0] - b[0]);
  const all = buckets.at(-1)?.[1] ?? 0;
  return all === 0 ? null : (buckets.find(([, total]) => total >= all * part)?.[0] ?? null);
}
