// Where the page is: the part of the address after `#`, as in `#/hubs/chat` or `#/connections?hub=chat`.

import { signal } from "@preact/signals";

export interface Route {
  page: string;
  /** What follows, decoded. */
  name: string | null;
  query: URLSearchParams;
}

export const route = signal(parse(location.hash));

addEventListener("hashchange", () => {
  route.value = parse(location.hash);
});

export function parse(hash: string): Route {
  const [path = "", search = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [page = "", name] = path.split("/", 2);
  return { page: page || "overview", name: name ? decoded(name) : null, query: new URLSearchParams(search) };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function link(page: string, name?: string, items: Record<string, string> = {}): string {
  const search = String(new URLSearchParams(items));
  return `#/${page}${name === undefined ? "" : `/${encodeURIComponent(name)}`}${search ? `?${search}` : ""}`;
}

export function go(hash: string): void {
  location.hash = hash;
}

/** Writes into the address what the page shows already. */
export function note(hash: string): void {
  history.replaceState(history.state, "", hash);
}
