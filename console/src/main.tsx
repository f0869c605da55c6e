// The console of Hubgate: pages over the admin API.

import { useSignalEffect } from "@preact/signals";
import { type ComponentChildren, render } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { startClients } from "./clients";
import { cluster, start } from "./live";
import { Connections } from "./pages/connections";
import { HubPage } from "./pages/hub";
import { Hubs } from "./pages/hubs";
import { Keys } from "./pages/keys";
import { Nodes } from "./pages/nodes";
import { Overview } from "./pages/overview";
import { Playground } from "./pages/playground";
import { Plugins } from "./pages/plugins";
import { SignIn } from "./pages/sign_in";
import { Trace } from "./pages/trace";
import { Heading, notice } from "./parts/pieces";
import { problems } from "./problems";
import { link, route } from "./route";
import { changesRefused, isSignedIn, resume, signOut, version } from "./session";
import { startWatching } from "./watch";

const PAGES = [
  ["overview", "Overview", "M3 12h4l3-8 4 16 3-8h4"],
  ["hubs", "Hubs", "M12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6M12 9V3M12 21v-6M9 12H3M21 12h-6"],
  ["plugins", "Plugins", "M9 3v5M15 3v5M6 8h12v4a6 6 0 0 1-12 0zM12 18v3"],
  ["connections", "Connections", "M8 7l-5 5 5 5M3 12h18M16 7l5 5-5 5"],
  ["trace", "Live trace", "M3 5h9M7 12h10M12 19h9"],
  ["playground", "Playground", "M5 4v16l14-8z"],
  ["keys", "Keys", "M8 11a4 4 0 1 0 0 8 4 4 0 0 0 0-8M11 12l9-9M16 7l3 3"],
  ["nodes", "Nodes", "M4 4h16v6H4zM4 14h16v6H4zM8 7h.01M8 17h.01"],
] as const;

function App() {
  if (!isSignedIn.value) {
    return <SignIn />;
  }
  return (
    <>
      <a class="skip" href="#content" onClick={skip}>
        Skip to the content
      </a>
      <header class="top">
        <a class="brand" href={link("overview")}>
          <img src="icon.svg" alt="" width={22} height={22} />
          Hubgate
        </a>
        <span class="node">{[cluster.value?.node, version.value].filter(Boolean).join(" · ")}</span>
        <button type="button" class="plain" onClick={() => signOut(null)}>
          Sign out
        </button>
      </header>
      <Menu />
      <main id="content" tabIndex={-1}>
        {changesRefused.value && (
          <p class="looking" id="looking-only">
            <b>Read-only.</b> {changesRefused.value}
          </p>
        )}
        <Page />
      </main>
    </>
  );
}

function skip(event: Event) {
  // The address is the page's own.
  event.preventDefault();
  document.getElementById("content")?.focus();
}

function Menu() {
  const found = problems.value.length;
  const list = useRef<HTMLUListElement>(null);
  const { page: here } = route.value;
  const hasNodes = Boolean(cluster.value);
  // In a narrow window the menu is wider than it.
  useEffect(() => list.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" }), [here, hasNodes]);
  return (
    <nav class="menu" aria-label="Pages">
      <ul ref={list}>
        {PAGES.filter(([page]) => page !== "nodes" || hasNodes).map(([page, title, path]) => (
          <li key={page}>
            <a href={link(page)} aria-current={here === page ? "page" : undefined}>
              <svg viewBox="0 0 24 24" aria-hidden="true">
                <path d={path} />
              </svg>
              <span>{title}</span>
              {page === "overview" && found > 0 && (
                <span class="count" aria-label={found === 1 ? "1 problem" : `${found} problems`}>
                  {found}
                </span>
              )}
            </a>
          </li>
        ))}
      </ul>
    </nav>
  );
}

function Page(): ComponentChildren {
  const { page, name } = route.value;
  useFocus(page, name);
  switch (page) {
    case "overview":
      return <Overview />;
    case "hubs":
      return name === null ? <Hubs /> : <HubPage key={name} name={name} />;
    case "plugins":
      return <Plugins />;
    case "connections":
      return <Connections />;
    case "trace":
      return <Trace />;
    case "playground":
      return <Playground />;
    case "keys":
      return <Keys />;
    case "nodes":
      return <Nodes />;
    default:
      return (
        <>
          <Heading>Nothing is here</Heading>
          <p>
            <a href={link("overview")}>Go to the overview</a>
          </p>
        </>
      );
  }
}

/** A new page is named in the window's title, and read out from its heading. */
function useFocus(page: string, name: string | null) {
  const isFirst = useRef(true);
  useEffect(() => {
    const title = PAGES.find(([known]) => known === page)?.[1] ?? "Nothing is here";
    document.title = `${name ?? title} · Hubgate`;
    notice.value = "";
    if (!isFirst.current) {
      document.querySelector("h1")?.focus({ preventScroll: true });
      scrollTo(0, 0);
    }
    isFirst.current = false;
  }, [page, name]);
}

/** What was done last, read out and shown for a while. */
function Notice() {
  useSignalEffect(() => {
    if (notice.value) {
      const timer = setTimeout(() => (notice.value = ""), 8_000);
      return () => clearTimeout(timer);
    }
    return undefined;
  });
  return (
    <p class="notice" role="status">
      {notice.value}
    </p>
  );
}

void resume();
start();
startWatching();
startClients();
render(
  <>
    <App />
    <Notice />
  </>,
  document.getElementById("app")!,
);
