// What charts show, kept for this tab while its page is loaded again.

import type { HubRates, Point, Rates } from "./live";

const KEY = "hubgate-history";
/** Hubs of each point that are kept: the busiest. */
const MOST_HUBS = 10;

interface Kept {
  at: number;
  rates: Rates | null;
  hubs: [string, HubRates][];
}

export function keep(history: Point[]): void {
  const kept: Kept[] = history.map(({ at, rates, hubs }) => ({ at, rates, hubs: [...hubs].slice(0, MOST_HUBS) }));
  try {
    sessionStorage.setItem(KEY, JSON.stringify(kept));
  } catch {
    // There is no room, and charts begin anew.
    forgetKept();
  }
}

/** The points since `oldest`, in seconds since 1970. */
export function recall(oldest: number): Point[] {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "[]") as Kept[];
    return kept.filter(({ at }) => at >= oldest).map(({ at, rates, hubs }) => ({ at, rates, hubs: new Map(hubs) }));
  } catch {
    return [];
  }
}

export function forgetKept(): void {
  sessionStorage.removeItem(KEY);
}
