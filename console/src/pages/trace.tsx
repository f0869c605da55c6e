import { useEffect, useRef, useState } from "preact/hooks";
import { count, plural, seconds } from "../format";
import { ErrorText, Heading } from "../parts/pieces";
import { link, note, route } from "../route";
import { opensSecrets } from "../session";
import { MOST_SPANS, MOST_TRACES, type Row, type Span, type Trace as Seen, about, extent, nameOf, tree } from "../traces";
import { FIELDS, type Wanted, clear, ended, isTold, missed, stop, traces, watch, watched } from "../watch";

/** How far in spans are written, in steps, however deep they are. */
const DEEPEST = 6;
/** What the top of a trace says, and its spans need not repeat. */
const SAID_ABOVE = new Set(["hub", "method", "user", "connection"]);
/** What is told first of a span, and how: by itself, after a word, or before one. */
const TOLD: Record<string, (value: string) => [string, string]> = {
  // That of the group or the user whom something is sent to.
  name: (value) => ["", value],
  plugin: (value) => ["", value],
  generation: (value) => ["version", value],
  webhook: (value) => ["", value],
  handler: (value) => ["for a", value],
  direction: (value) => ["", value],
  verdict: (value) => ["", value],
  recipients: (value) => ["", plural(Number(value), "recipient")],
};
const ORDER = Object.keys(TOLD);

export function Trace() {
  // Whoever leaves the page watches no more.
  useEffect(() => stop, []);
  const wanted = String(route.value.query);
  return (
    <>
      <Heading>Live trace</Heading>
      <p class="lead">
        The way of each message: from the client through the filters to the handler, and from there to whom it was sent. A call
        that a hub server answers is followed until it is queued for that. It costs the gateway something while it runs, and ends when you leave
        this page.
      </p>
      <Choice key={wanted} />
      <ErrorText>{ended.value}</ErrorText>
      <Traces />
    </>
  );
}

function Choice() {
  const asked = route.value.query;
  const running = watched.value;
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    const wanted: Wanted = Object.fromEntries(
      FIELDS.map(([name]) => [name, String(form.get(name) ?? "").trim()]).filter(([, value]) => value !== ""),
    );
    // Part of the address, so that it can be kept; what messages carry is asked for each time.
    note(link("trace", undefined, wanted));
    void watch(form.has("payloads") && opensSecrets.value ? { ...wanted, payloads: "true" } : wanted);
  };
  return (
    <form class="card" onSubmit={submit}>
      <div class="filters four">
        {FIELDS.map(([name, title]) => (
          <label key={name} class="field">
            {title}
            <input name={name} autocomplete="off" autocapitalize="off" spellcheck={false} defaultValue={asked.get(name) ?? ""} />
          </label>
        ))}
      </div>
      <div class="row">
        <label class="check">
          <input
            type="checkbox"
            name="payloads"
            defaultChecked={running?.payloads === "true"}
            aria-disabled={opensSecrets.value ? undefined : "true"}
            aria-describedby="payloads-help"
            onClick={(event) => opensSecrets.value || event.preventDefault()}
          />
          <span>
            With arguments
            <span id="payloads-help" class="quiet line">
              {opensSecrets.value ? "What people say to each other. Values that look secret are left out." : "The read token does not show them."}
            </span>
          </span>
        </label>
        <div class="buttons">
          {running && (
            <button type="button" onClick={stop}>
              Stop
            </button>
          )}
          <button type="submit" class="primary">
            {running ? "Apply" : "Start"}
          </button>
        </div>
      </div>
      <p class="quiet" role="status">
        {running ? (isTold.value ? `Watching ${narrowed(running)}.` : "Starting…") : "Not watching. Without filters, all calls and sends are watched."}
      </p>
    </form>
  );
}

function narrowed(wanted: Wanted): string {
  const parts = FIELDS.filter(([name]) => wanted[name]).map(([name, title]) => `${title.toLowerCase()} ${wanted[name]}`);
  return `${parts.length ? parts.join(", ") : "everything"}${wanted.payloads ? ", with arguments" : ""}`;
}

/** What is shown while somebody points at it or has the focus in it: it grows where it is known already, and nothing moves. */
function useHold(all: Seen[]) {
  const [held, setHeld] = useState<Seen[] | null>(null);
  const reasons = useRef(new Set<string>());
  const because = (reason: string, holds: boolean) => () => {
    reasons.current[holds ? "add" : "delete"](reason);
    setHeld((before) => (reasons.current.size === 0 ? null : (before ?? all)));
  };
  const known = new Map(all.map((trace) => [trace.id, trace]));
  const shown = held?.map((trace) => known.get(trace.id) ?? trace) ?? all;
  held?.forEach(({ id }) => known.delete(id));
  const release = () => {
    reasons.current.clear();
    setHeld(null);
  };
  const handlers = {
    onPointerEnter: because("pointer", true),
    onPointerLeave: because("pointer", false),
    onFocusCapture: because("focus", true),
    onBlurCapture: because("focus", false),
  };
  return { shown, newer: held ? known.size : 0, release, handlers };
}

function Traces() {
  const { all, dropped } = traces.value;
  const { shown, newer, release, handlers } = useHold(all);
  const lost = [
    dropped > 0 ? `${plural(dropped, "older trace")} ${dropped === 1 ? "is" : "are"} gone: the last ${MOST_TRACES} are kept` : "",
    missed.value > 0 ? `the gateway had no room for ${plural(missed.value, "span")}` : "",
  ].filter(Boolean);
  if (all.length === 0 && lost.length === 0) {
    return isTold.value ? <p class="card quiet">Nothing has come yet.</p> : null;
  }
  return (
    <section class="card" aria-labelledby="traces">
      <header class="card-head">
        <h2 id="traces">{plural(all.length, "trace")}</h2>
        <div class="actions">
          {newer > 0 && (
            <button type="button" class="small" onClick={release}>
              Show {count(newer)} newer
            </button>
          )}
          <button
            type="button"
            class="small"
            onClick={() => {
              release();
              clear();
            }}
          >
            Clear
          </button>
        </div>
      </header>
      {lost.length > 0 && <p class="warning">{`${lost.join("; ")}.`.replace(/^./, (first) => first.toUpperCase())}</p>}
      <ol class="traces" role="list" {...handlers}>
        {shown.map((trace) => (
          <li key={trace.id}>
            <OneTrace trace={trace} />
          </li>
        ))}
      </ol>
    </section>
  );
}

function OneTrace({ trace }: { trace: Seen }) {
  const [isOpen, setOpen] = useState(false);
  const { name, failed, begin, micros, of } = about(trace);
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        <time class="quiet">{clockMicros(begin)}</time>
        <span class="trace-name">
          <b>{name}</b> {of("hub") !== null && <span class="quiet">{of("hub")}</span>}
        </span>
        <span class="trace-user">{of("user")}</span>
        <span class="trace-end">
          {failed !== null && <span class="tag bad">{failed}</span>} {seconds(micros / 1e6)}
        </span>
      </summary>
      {isOpen && <Way trace={trace} />}
    </details>
  );
}

function Way({ trace }: { trace: Seen }) {
  const { of } = about(trace);
  const whole = extent(trace.spans);
  const [hub, user, connection] = [of("hub"), of("user"), of("connection")];
  return (
    <div class="way">
      <p class="quiet">
        {hub !== null && (
          <>
            Hub <a href={link("hubs", hub)}>{hub}</a>{" "}
          </>
        )}
        {user !== null && (
          <>
            user <a href={link("connections", undefined, { user })}>{user}</a>{" "}
          </>
        )}
        {connection !== null && (
          <>
            connection{" "}
            <a href={link("connections", undefined, { id: connection })}>
              <code>{connection}</code>
            </a>
          </>
        )}
      </p>
      <ol class="spans" role="list">
        {tree(trace.spans).map((row) => (
          <SpanRow key={row.span.span} row={row} whole={whole} />
        ))}
      </ol>
      {trace.more > 0 && (
        <p class="quiet">
          {plural(trace.more, "more span")} of this trace: the first {count(MOST_SPANS)} are shown.
        </p>
      )}
      <p class="quiet">
        Trace <code>{trace.id}</code>
      </p>
    </div>
  );
}

function SpanRow({ row: { span, depth }, whole }: { row: Row; whole: { begin: number; micros: number } }) {
  const part = (micros: number) => `${(100 * micros) / Math.max(1, whole.micros)}%`;
  const after = span.begin - whole.begin;
  return (
    <li class={span.failed === null ? undefined : "failed"}>
      <div class="span-what" style={{ "--depth": Math.min(depth, DEEPEST) }}>
        <b>{nameOf(span)}</b> {said(span)} {span.failed !== null && <span class="tag bad">{span.failed}</span>}
      </div>
      <div class="span-bar" aria-hidden="true">
        <i style={{ left: part(after), width: part(span.micros) }} />
      </div>
      <div class="span-time">
        {seconds(span.micros / 1e6)}
        <span class="quiet line">after {seconds(after / 1e6)}</span>
      </div>
      {span.payload !== null && <pre class="payload">{span.payload}</pre>}
    </li>
  );
}

/** What is known of a span, the more telling first. */
function said({ name, attributes }: Span) {
  const isToAll = attributes.some(([key, value]) => key === "to" && value === "all");
  // What its name says already, or the hub's.
  const known = attributes.filter(([key, value]) => !SAID_ABOVE.has(key) && !(key === "to" && name.endsWith(value)) && !(key === "name" && isToAll));
  const place = ([key]: [string, string]) => (ORDER.includes(key) ? ORDER.indexOf(key) : ORDER.length);
  return known
    .sort((a, b) => place(a) - place(b))
    .map(([key, value], index) => {
      const [label, text] = (Object.hasOwn(TOLD, key) ? TOLD[key]! : (value: string): [string, string] => [key.replaceAll(/[._]/g, " "), value])(value);
      return (
        <span key={key}>
          {index > 0 && ", "}
          {label && <span class="quiet">{label} </span>}
          {text}
        </span>
      );
    });
}

function clockMicros(micros: number): string {
  const millis = Math.floor(micros / 1000);
  return `${new Date(millis).toLocaleTimeString("en-GB")}.${String(millis % 1000).padStart(3, "0")}`;
}
