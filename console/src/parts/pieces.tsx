// Small pieces that several pages have.

import { signal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";
import { words } from "../api";
import { ago, clock } from "../format";
import { now } from "../live";
import { changesRefused } from "../session";

/** What was done last, for the page's live region. */
export const notice = signal("");

export function Heading({ children, actions }: { children: ComponentChildren; actions?: ComponentChildren }) {
  return (
    <header class="heading">
      <h1 tabIndex={-1}>{children}</h1>
      {actions && <div class="actions">{actions}</div>}
    </header>
  );
}

export function ErrorText({ children }: { children: string | null | undefined }) {
  return children ? (
    <p class="error" role="alert">
      {children}
    </p>
  ) : null;
}

type ChangeProps = JSX.IntrinsicElements["button"] & {
  onClick: () => void;
  /** Why this one is not possible. */
  impossible?: string | null;
};

/** A button of something that changes the gateway; where that is refused, it says so and does nothing. */
export function ChangeButton({ onClick, impossible, class: look = "", children, ...rest }: ChangeProps) {
  const why = changesRefused.value ?? impossible;
  return (
    <button
      type="button"
      {...rest}
      class={String(look)}
      aria-disabled={why ? "true" : undefined}
      aria-describedby={changesRefused.value ? "looking-only" : undefined}
      title={why ?? undefined}
      onClick={() => {
        if (!why) {
          onClick();
        }
      }}
    >
      {children}
    </button>
  );
}

export function Ago({ at }: { at: string | null }) {
  return at === null ? (
    <>–</>
  ) : (
    <time dateTime={at} title={clock(at)}>
      {ago(at, now.value)}
    </time>
  );
}

/** Runs one thing at a time, and keeps the words of its failure. */
export function useAction(): { isBusy: boolean; error: string | null; run: (action: () => Promise<void>) => Promise<void>; forget: () => void } {
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const run = async (action: () => Promise<void>) => {
    if (isBusy) {
      return;
    }
    setBusy(true);
    setError(null);
    try {
      await action();
    } catch (caught) {
      setError(words(caught));
    } finally {
      setBusy(false);
    }
  };
  return { isBusy, error, run, forget: () => setError(null) };
}

export function Loading() {
  return <p class="quiet">Loading…</p>;
}

export function Fact({ name, isWide = false, children }: { name: string; isWide?: boolean; children: ComponentChildren }) {
  return (
    <div class={isWide ? "wide" : undefined}>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
