import { useState } from "preact/hooks";
import { change, query, segment } from "../api";
import { count, plural, rate } from "../format";
import { hubRates, hubs, refresh } from "../live";
import { modeName } from "../modes";
import { Dialog } from "../parts/dialog";
import { ModeChoice } from "../parts/modes";
import { ChangeButton, ErrorText, Heading, Loading, notice, useAction } from "../parts/pieces";
import { Table } from "../parts/table";
import { go, link } from "../route";
import type { Mode, ModeChange } from "../types";

export function Hubs() {
  const [isMaking, setMaking] = useState(false);
  const all = hubs.value;
  const button = (
    <ChangeButton class="primary" onClick={() => setMaking(true)}>
      New hub
    </ChangeButton>
  );
  return (
    <>
      <Heading actions={button}>Hubs</Heading>
      {isMaking && <NewHub onClose={() => setMaking(false)} />}
      {!all && <Loading />}
      {all && all.size === 0 && <p class="card quiet">The configuration names no hub, and nobody has used one since the gateway started.</p>}
      {all && all.size > 0 && (
        <section class="card">
          <Table
            label="Hubs"
            rows={[...all]}
            id={([name]) => name}
            columns={[
              { title: "Hub", cell: ([name]) => <a href={link("hubs", name)}>{name}</a> },
              { title: "Mode", cell: ([, { mode }]) => modeName(mode) },
              { title: "Clients", isNumber: true, cell: ([, { clients }]) => count(clients) },
              { title: "Reconnecting", isNumber: true, cell: ([, { waitingClients }]) => count(waitingClients) },
              { title: "Hub servers", isNumber: true, cell: ([, { serverConnections }]) => count(serverConnections) },
              { title: "Messages in/s", isNumber: true, cell: ([name]) => rate(hubRates(name)?.messagesIn ?? 0) },
              { title: "Messages out/s", isNumber: true, cell: ([name]) => rate(hubRates(name)?.messagesOut ?? 0) },
            ]}
          />
        </section>
      )}
    </>
  );
}

function NewHub({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState("");
  const [mode, setMode] = useState<Mode | null>(null);
  const [closes, setCloses] = useState<ModeChange | null>(null);
  const { isBusy, error, run, forget } = useAction();
  const typed = name.trim();
  const submit = (event: Event) => {
    event.preventDefault();
    void run(async () => {
      const path = `admin/hubs/${segment(typed)}`;
      if (!mode) {
        throw new Error("Choose a service mode.");
      }
      // Clients may use the hub already, as the configuration's "*" has it.
      if (!closes) {
        const would = await change<ModeChange>("PUT", `${path}${query({ "dry-run": "true" })}`, { mode });
        if (would.closes > 0) {
          setCloses(would);
          return;
        }
      }
      await change("PUT", path, { mode });
      notice.value = `Hub ${typed} is in ${mode} mode.`;
      await refresh().catch(() => undefined);
      onClose();
      go(link("hubs", typed));
    });
  };
  const edited = () => {
    setCloses(null);
    forget();
  };
  return (
    <Dialog title="New hub" onClose={onClose} isBusy={isBusy}>
      <form onSubmit={submit}>
        <label class="field">
          Name
          <input
            required
            autocomplete="off"
            autocapitalize="off"
            spellcheck={false}
            value={name}
            onInput={(event) => {
              setName(event.currentTarget.value);
              edited();
            }}
          />
        </label>
        <ModeChoice
          value={mode}
          onChange={(chosen) => {
            setMode(chosen);
            edited();
          }}
        />
        {closes && (
          <p class="warning" role="alert">
            The hub is in use already. {closedText(closes)}
          </p>
        )}
        <ErrorText>{error}</ErrorText>
        <div class="buttons">
          <button type="button" disabled={isBusy} onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class={closes ? "danger" : "primary"} disabled={isBusy}>
            {closes ? `Create hub and close ${plural(closes.closes, "client")}` : "Create hub"}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** What a change closes, in a sentence. */
export function closedText({ closes, seconds }: ModeChange): string {
  if (closes === 0) {
    return "No client will be closed.";
  }
  const verb = closes === 1 ? "client will be closed" : "clients will be closed";
  const pace = seconds > 0 ? `, paced over ${count(Math.ceil(seconds))} s` : "";
  return `${count(closes)} ${verb}${pace}. They may reconnect at once.`;
}
