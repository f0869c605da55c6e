import { useEffect, useMemo, useState } from "preact/hooks";
import { ApiError, NO_NAME, change, query, read, segment } from "../api";
import { count, plural, rate } from "../format";
import { history, hubRates, hubs, refresh } from "../live";
import { consequences, modeName } from "../modes";
import { Chart } from "../parts/chart";
import { Dialog } from "../parts/dialog";
import { ModeChoice } from "../parts/modes";
import { ChangeButton, ErrorText, Fact, Heading, Loading, notice, useAction } from "../parts/pieces";
import { Send } from "../parts/send";
import { link } from "../route";
import type { Hub, HubInFull, Mode, ModeChange } from "../types";
import { Configured } from "./hub_settings";
import { closedText } from "./hubs";

export function HubPage({ name }: { name: string }) {
  const all = hubs.value;
  const inFull = useInFull(name, all);
  const hub = all?.get(name) ?? inFull;
  const now = hubRates(name);
  const [isSending, setSending] = useState(false);
  const actions = hub && (
    <>
      <a class="button" href={link("trace", undefined, { hub: name })}>
        Trace
      </a>
      <a class="button" href={link("playground", undefined, { hub: name })}>
        Connect
      </a>
      <ChangeButton onClick={() => setSending(true)}>Send…</ChangeButton>
    </>
  );
  return (
    <>
      <nav class="crumbs" aria-label="Breadcrumb">
        <a href={link("hubs")}>Hubs</a>
      </nav>
      <Heading actions={actions}>{name}</Heading>
      {isSending && <Send hub={name} onClose={() => setSending(false)} />}
      {hub === undefined && <Loading />}
      {hub === null && <p class="card quiet">The configuration has no hub of this name, and nobody has used one since the gateway started.</p>}
      {hub && (
        <>
          <dl class="facts card">
            <Fact name="Mode">{modeName(hub.mode)}</Fact>
            <Fact name="Clients">
              <a href={link("connections", undefined, { hub: name })}>{count(hub.clients)}</a>
            </Fact>
            <Fact name="Reconnecting">{count(hub.waitingClients)}</Fact>
            <Fact name="Hub servers">{count(hub.serverConnections)}</Fact>
            <Fact name="Messages in">{rate(now?.messagesIn ?? 0)}/s</Fact>
            <Fact name="Messages out">{rate(now?.messagesOut ?? 0)}/s</Fact>
          </dl>
          <HubCharts name={name} />
          {inFull && <Configured name={name} mode={hub.mode} settings={inFull.settings} />}
          <Settings key={name} name={name} current={hub.mode} />
        </>
      )}
    </>
  );
}

/** What is known of one hub, also of one that nobody has used: that is not listed. Null if there is none, undefined until that is known. */
function useInFull(name: string, all: Map<string, Hub> | null): HubInFull | null | undefined {
  const [inFull, setInFull] = useState<HubInFull | null | undefined>(undefined);
  useEffect(() => {
    const look = async () => setInFull(await read<HubInFull>(`admin/hubs/${segment(name)}`));
    look().catch((error) => {
      if (error instanceof ApiError && (error.status === 404 || error.status === NO_NAME)) {
        setInFull(null);
      }
    });
  }, [name, all]);
  return inFull;
}

function HubCharts({ name }: { name: string }) {
  const points = history.value;
  const [times, of] = useMemo(() => {
    const values = (key: "clients" | "messagesIn" | "messagesOut") => points.map(({ hubs }) => hubs.get(name)?.[key] ?? null);
    return [points.map(({ at }) => at), values] as const;
  }, [points, name]);
  return (
    <div class="charts">
      <Chart title="Connections" times={times} show={count} least={10} lines={[{ label: "clients", color: "--series-0", values: of("clients") }]} />
      <Chart
        title="Messages a second"
        times={times}
        show={rate}
        lines={[
          { label: "out", color: "--series-0", values: of("messagesOut") },
          { label: "in", color: "--series-1", values: of("messagesIn") },
        ]}
      />
    </div>
  );
}

/** The hub's mode: what a change would do is told before it is made. */
function Settings({ name, current }: { name: string; current: Mode }) {
  const [chosen, setChosen] = useState<Mode | null>(null);
  const [would, setWould] = useState<ModeChange | null>(null);
  const asking = useAction();
  const changing = useAction();
  const mode = chosen ?? current;
  const path = `admin/hubs/${segment(name)}`;
  const ask = () => asking.run(async () => setWould(await change<ModeChange>("PUT", `${path}${query({ "dry-run": "true" })}`, { mode })));
  const make = () =>
    changing.run(async () => {
      await change("PUT", path, { mode });
      notice.value = `Hub ${name} is in ${mode} mode.`;
      await refresh().catch(() => undefined);
      setWould(null);
      setChosen(null);
    });
  return (
    <section class="card" aria-labelledby="settings">
      <h2 id="settings">Service mode</h2>
      <ModeChoice
        value={mode}
        current={current}
        onChange={(next) => {
          setChosen(next);
          asking.forget();
        }}
      />
      <ErrorText>{asking.error}</ErrorText>
      {mode !== current && (
        <div class="buttons">
          <button type="button" onClick={() => setChosen(null)}>
            Keep {modeName(current)}
          </button>
          <ChangeButton class="primary" disabled={asking.isBusy} onClick={ask}>
            Change to {modeName(mode)}…
          </ChangeButton>
        </div>
      )}
      {would && (
        <Dialog title={`Change ${name} to ${modeName(mode)}?`} onClose={() => setWould(null)} isBusy={changing.isBusy}>
          <p class="big">{closedText(would)}</p>
          <p>{consequences(current, mode)}</p>
          <p class="quiet">The configuration file is changed, so that the mode stays after a restart. You can change it back the same way.</p>
          <ErrorText>{changing.error}</ErrorText>
          <div class="buttons">
            <button type="button" disabled={changing.isBusy} onClick={() => setWould(null)}>
              Cancel
            </button>
            <button type="button" class={would.closes > 0 ? "danger" : "primary"} disabled={changing.isBusy} onClick={make}>
              {changing.isBusy ? "Changing…" : would.closes > 0 ? `Change and close ${plural(would.closes, "client")}` : "Change the mode"}
            </button>
          </div>
        </Dialog>
      )}
    </section>
  );
}
