import { useEffect, useId, useRef, useState } from "preact/hooks";
import { claimsOf } from "../client_token";
import { type Client, type Line, type Transport, type Way, clients, connect, remove } from "../clients";
import { plural, time } from "../format";
import { cluster, hubs } from "../live";
import { MODES } from "../modes";
import { ChangeButton, ErrorText, Heading, useAction } from "../parts/pieces";
import { Send, argumentsOf } from "../parts/send";
import { link, route } from "../route";
import { opensSecrets } from "../session";

const TRANSPORTS: [Transport, string][] = [
  ["WebSockets", "WebSockets"],
  ["ServerSentEvents", "Server-sent events"],
  ["LongPolling", "Long polling"],
];
const WAYS: [Way, string][] = [
  ["invoke", "Wait for the answer"],
  ["send", "Without an answer"],
  ["stream", "Take a stream"],
];
const KINDS: Record<Line["kind"], string> = { in: "From the gateway", out: "To the gateway", well: "Done", bad: "Failed" };

export function Playground() {
  const [sending, setSending] = useState<string | null>(null);
  return (
    <>
      <Heading>Playground</Heading>
      <p class="lead">
        Connects as a client of a hub, as an application's page does: by the gateway's listener for clients, with a token that is signed in this
        browser. What happens here is real. Clients stay connected while you look at other pages.
      </p>
      <Connect onSend={setSending} />
      {clients.value.map((client) => (
        <ClientCard key={client.id} client={client} onSend={() => setSending(client.hub)} />
      ))}
      {sending !== null && <Send hub={sending} onClose={() => setSending(null)} />}
    </>
  );
}

function Connect({ onSend }: { onSend: (hub: string) => void }) {
  const [hub, setHub] = useState(route.value.query.get("hub") ?? "");
  const { isBusy, error, run } = useAction();
  const list = useId();
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    const typed = (name: string) => String(form.get(name) ?? "").trim();
    void run(async () => {
      const token = typed("token");
      if (token === "" && !opensSecrets.value) {
        throw new Error("The read token does not open the access key that signs tokens: bring one that hubgate token client has made.");
      }
      await connect({ hub: hub.trim(), user: typed("user"), claims: claimsOf(typed("claims")), transport: typed("transport") as Transport, token });
    });
  };
  return (
    <form class="card" onSubmit={submit}>
      <div class="pair">
        <label class="field">
          Hub
          <input
            required
            list={list}
            autocomplete="off"
            autocapitalize="off"
            spellcheck={false}
            value={hub}
            onInput={(event) => setHub(event.currentTarget.value)}
          />
        </label>
        <datalist id={list}>
          {[...(hubs.value?.keys() ?? [])].map((name) => (
            <option key={name} value={name} />
          ))}
        </datalist>
        <label class="field">
          User id (optional)
          <input name="user" autocomplete="off" autocapitalize="off" spellcheck={false} />
        </label>
        <label class="field">
          Transport
          <select name="transport">
            {TRANSPORTS.map(([value, title]) => (
              <option key={value} value={value}>
                {title}
              </option>
            ))}
          </select>
        </label>
      </div>
      <details class="more" open={!opensSecrets.value}>
        <summary>Claims, or a token of your own</summary>
        <div class="pair">
          <label class="field">
            Claims, one name=value a line
            <textarea name="claims" rows={3} spellcheck={false} autocomplete="off" />
          </label>
          <label class="field">
            Token, in place of user and claims
            <textarea name="token" rows={3} spellcheck={false} autocomplete="off" />
          </label>
        </div>
      </details>
      <Expected hub={hub.trim()} />
      <ErrorText>{error}</ErrorText>
      <div class="buttons">
        {hub.trim() !== "" && <ChangeButton onClick={() => onSend(hub.trim())}>Send to clients…</ChangeButton>}
        <button type="submit" class="primary" disabled={isBusy}>
          {isBusy ? "Connecting…" : "Connect"}
        </button>
      </div>
    </form>
  );
}

/** What will come of it, by the hub's mode. */
function Expected({ hub }: { hub: string }) {
  const known = [...(hubs.value ?? [])].find(([name]) => name.toLowerCase() === hub.toLowerCase())?.[1];
  if (hub === "" || !hubs.value) {
    return null;
  }
  if (!known) {
    return <p class="quiet">Nobody uses a hub of this name yet: it goes by the configuration, or by what that says of all other hubs.</p>;
  }
  const mode = MODES.find(({ mode }) => mode === known.mode);
  const isAlone = known.serverConnections === 0;
  if (known.mode === "default" && isAlone) {
    return (
      <p class="warning">
        The hub is in default mode, and no hub server is connected to it: clients are refused until one is.
        {cluster.value ? " One at another node will do." : ""}
      </p>
    );
  }
  const who = known.mode === "serverless" || isAlone ? "The gateway answers." : "A hub server will answer.";
  const mind = known.mode === "classic" && isAlone ? " This client will only receive." : known.mode === "serverless" ? " Calls go to upstream." : "";
  return (
    <p class="quiet">
      {mode?.name} mode: {who}
      {mind}
    </p>
  );
}

function ClientCard({ client, onSend }: { client: Client; onSend: () => void }) {
  const state = client.state.value;
  return (
    <section class="card" aria-label={`Client ${client.name} of ${client.hub}`}>
      <header class="card-head">
        <h2>
          {client.user || <span class="quiet">without a user</span>} <span class="quiet">in</span> {client.hub}
        </h2>
        <span class={`tag ${state === "connected" ? "good" : state === "closed" ? "bad" : ""}`} role="status">
          {state}
        </span>
        <div class="actions">
          <a class="button" href={link("trace", undefined, client.user ? { hub: client.hub, user: client.user } : { hub: client.hub })}>
            Trace
          </a>
          <ChangeButton onClick={onSend}>Send to clients…</ChangeButton>
          {state === "closed" ? (
            <button type="button" onClick={() => remove(client)}>
              Remove
            </button>
          ) : (
            <button type="button" onClick={() => void client.disconnect()}>
              Disconnect
            </button>
          )}
        </div>
      </header>
      {state === "connected" && <Call client={client} />}
      {client.streams.value.map(({ id, method, end }) => (
        <p key={id} class="row">
          <span>
            The stream <b>{method}</b> goes on.
          </span>
          <button type="button" class="small" aria-label={`End the stream ${method}`} onClick={end}>
            End
          </button>
        </p>
      ))}
      <Log client={client} />
    </section>
  );
}

function Call({ client }: { client: Client }) {
  const [way, setWay] = useState<Way>("invoke");
  const [method, setMethod] = useState("");
  const [typed, setTyped] = useState("[]");
  const [error, setError] = useState<string | null>(null);
  const submit = (event: Event) => {
    event.preventDefault();
    setError(null);
    try {
      void client.call(way, method.trim(), argumentsOf(typed));
    } catch (caught) {
      setError((caught as Error).message);
    }
  };
  return (
    <form class="call" onSubmit={submit}>
      <label class="field">
        Method
        <input required autocomplete="off" autocapitalize="off" spellcheck={false} value={method} onInput={(event) => setMethod(event.currentTarget.value)} />
      </label>
      <label class="field">
        Arguments, as a JSON array
        <input class="code" autocomplete="off" autocapitalize="off" spellcheck={false} value={typed} onInput={(event) => setTyped(event.currentTarget.value)} />
      </label>
      <label class="field">
        How
        <select value={way} onChange={(event) => setWay(event.currentTarget.value as Way)}>
          {WAYS.map(([value, title]) => (
            <option key={value} value={value}>
              {title}
            </option>
          ))}
        </select>
      </label>
      <div class="buttons">
        <button type="submit" class="primary">
          Call
        </button>
      </div>
      <ErrorText>{error}</ErrorText>
    </form>
  );
}

/** What was said, the newest at the end and in sight unless somebody reads further up. */
function Log({ client }: { client: Client }) {
  const lines = client.lines.value;
  const holder = useRef<HTMLDivElement>(null);
  const isAtEnd = useRef(true);
  useEffect(() => {
    if (isAtEnd.current && holder.current) {
      holder.current.scrollTop = holder.current.scrollHeight;
    }
  }, [lines]);
  return (
    <>
      {client.dropped.value > 0 && <p class="quiet">{plural(client.dropped.value, "older line")} gone.</p>}
      <div
        class="log"
        role="log"
        aria-label={`What ${client.name} hears and says`}
        tabIndex={0}
        ref={holder}
        onScroll={({ currentTarget: { scrollTop, clientHeight, scrollHeight } }) => {
          isAtEnd.current = scrollTop + clientHeight > scrollHeight - 20;
        }}
      >
        <ol role="list">
        {lines.map(({ id, at, kind, what, text }) => (
          <li key={id} class={`line-${kind}`}>
            <time class="quiet">{time(at)}</time>
            <span class="sign" aria-hidden="true" />
            <span>
              <span class="only-read">{KINDS[kind]}: </span>
              <b>{what}</b> <code>{text}</code>
            </span>
          </li>
        ))}
        </ol>
      </div>
    </>
  );
}
