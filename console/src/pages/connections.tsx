import { useEffect, useState } from "preact/hooks";
import { change, query, read, segment } from "../api";
import { bytes, plural } from "../format";
import { cluster } from "../live";
import { Dialog } from "../parts/dialog";
import { Ago, ChangeButton, ErrorText, Fact, Heading, Loading, notice, useAction } from "../parts/pieces";
import { Send } from "../parts/send";
import { type Column, Table } from "../parts/table";
import { go, link, route } from "../route";
import type { Connection } from "../types";

const PAGE = 50;
const FIELDS = [
  ["hub", "Hub"],
  ["user", "User"],
  ["group", "Group"],
  ["id", "Connection id"],
] as const;

interface Found {
  connections: Connection[];
  next: string | null;
}

export function Connections() {
  // What is looked for is part of the address, so that it can be kept and gone back to.
  const wanted = String(route.value.query);
  const [found, setFound] = useState<Found | null>(null);
  const [closing, setClosing] = useState<Connection | null>(null);
  const [sending, setSending] = useState<Connection | null>(null);
  const { isBusy, error, run } = useAction();
  const look = (after?: string) =>
    run(async () => {
      const items = Object.fromEntries(FIELDS.map(([name]) => [name, route.value.query.get(name) ?? ""]));
      const page = await read<Found>(`admin/connections${query({ ...items, limit: PAGE, after })}`);
      setFound((before) => (after && before ? { ...page, connections: [...before.connections, ...page.connections] } : page));
    });
  useEffect(() => {
    setFound(null);
    void look();
  }, [wanted]);
  const button = (
    <button type="button" disabled={isBusy} onClick={() => void look()}>
      Refresh
    </button>
  );
  return (
    <>
      <Heading actions={button}>Connections</Heading>
      <Search key={wanted} />
      <ErrorText>{error}</ErrorText>
      {!found && !error && <Loading />}
      {found && (
        <section class="card">
          <p class="quiet" role="status">{summary(found, wanted !== "")}</p>
          {found.connections.length > 0 && <Table label="Connections" rows={found.connections} id={({ id }) => id} columns={columns(setClosing, setSending)} />}
          {found.next && (
            <div class="buttons">
              <button type="button" disabled={isBusy} onClick={() => void look(found.next!)}>
                {isBusy ? "Loading…" : "Show more"}
              </button>
            </div>
          )}
        </section>
      )}
      {sending && <Send hub={sending.hub} connection={sending.id} onClose={() => setSending(null)} />}
      {closing && (
        <Close
          connection={closing}
          onClose={() => setClosing(null)}
          onDone={() => setFound((before) => before && { ...before, connections: before.connections.filter(({ id }) => id !== closing.id) })}
        />
      )}
    </>
  );
}

function summary({ connections, next }: Found, isNarrowed: boolean): string {
  const where = cluster.value ? ` on node ${cluster.value.node}; each other node has its own` : "";
  if (connections.length === 0) {
    return `${isNarrowed ? "Nobody like that is connected" : "Nobody is connected"}${where}.`;
  }
  return `${next ? "The first " : ""}${plural(connections.length, "connection")}${where}.`;
}

function columns(close: (connection: Connection) => void, send: (connection: Connection) => void): Column<Connection>[] {
  return [
    { title: "User", cell: ({ user, hub }) => (user === null ? <span class="quiet">none</span> : <a href={link("connections", undefined, { hub, user })}>{user}</a>) },
    { title: "Hub", cell: ({ hub }) => <a href={link("hubs", hub)}>{hub}</a> },
    { title: "Since", cell: ({ connectedAt }) => <Ago at={connectedAt} /> },
    { title: "Transport", cell: ({ transport, protocol }) => `${transport}, ${protocol}` },
    { title: "Queued", isNumber: true, cell: ({ queuedBytes }) => (queuedBytes ? bytes(queuedBytes) : "–") },
    { title: "Connection id", cell: ({ id }) => <code>{id}</code> },
    {
      title: "Actions",
      isAction: true,
      cell: (connection) => (
        <div class="buttons">
          <a class="button small" aria-label={`Trace ${connection.user ?? connection.id}`} href={link("trace", undefined, { connection: connection.id })}>
            Trace
          </a>
          <ChangeButton class="small" aria-label={`Send to ${connection.user ?? connection.id}`} onClick={() => send(connection)}>
            Send…
          </ChangeButton>
          <ChangeButton class="small" aria-label={`Close the connection of ${connection.user ?? connection.id}`} onClick={() => close(connection)}>
            Close…
          </ChangeButton>
        </div>
      ),
    },
  ];
}

function Search() {
  const asked = route.value.query;
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    const typed = FIELDS.map(([name]) => [name, String(form.get(name) ?? "").trim()] as const).filter(([, value]) => value !== "");
    go(link("connections", undefined, Object.fromEntries(typed)));
  };
  return (
    <search>
      <form class="card filters" onSubmit={submit}>
        {FIELDS.map(([name, title]) => (
          <label key={name} class="field">
            {title}
            <input name={name} autocomplete="off" autocapitalize="off" spellcheck={false} defaultValue={asked.get(name) ?? ""} />
          </label>
        ))}
        <div class="buttons">
          {String(asked) !== "" && (
            <a class="button" href={link("connections")}>
              Clear
            </a>
          )}
          <button type="submit" class="primary">
            Find
          </button>
        </div>
      </form>
    </search>
  );
}

function Close({ connection: { id, hub, user }, onClose, onDone }: { connection: Connection; onClose: () => void; onDone: () => void }) {
  const [reason, setReason] = useState("");
  const { isBusy, error, run } = useAction();
  const submit = (event: Event) => {
    event.preventDefault();
    void run(async () => {
      await change("DELETE", `admin/connections/${segment(id)}${query({ reason: reason.trim() })}`);
      notice.value = `The connection of ${user ?? id} was closed.`;
      onDone();
      onClose();
    });
  };
  return (
    <Dialog title="Close this connection?" onClose={onClose} isBusy={isBusy}>
      <form onSubmit={submit}>
        <dl class="facts">
          <Fact name="User">{user ?? "none"}</Fact>
          <Fact name="Hub">{hub}</Fact>
          <Fact name="Connection id">
            <code>{id}</code>
          </Fact>
        </dl>
        <p>The client is told not to come back by itself. That does not keep its user out.</p>
        <label class="field">
          Reason for the client (optional)
          <input autocomplete="off" value={reason} onInput={(event) => setReason(event.currentTarget.value)} />
        </label>
        <ErrorText>{error}</ErrorText>
        <div class="buttons">
          <button type="button" disabled={isBusy} onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="danger" disabled={isBusy}>
            {isBusy ? "Closing…" : "Close the connection"}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
