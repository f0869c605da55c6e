import { useEffect, useRef, useState } from "preact/hooks";
import { change, read, segment, upload, words } from "../api";
import { bytes, count, plural, rate, seconds, shortDigest } from "../format";
import { isFailure, lastMinute, latest, plugins, refresh } from "../live";
import { by, quantile, sum } from "../metrics";
import { Dialog } from "../parts/dialog";
import { Ago, ChangeButton, ErrorText, Fact, Heading, Loading, notice, useAction } from "../parts/pieces";
import { link } from "../route";
import { opensSecrets } from "../session";
import type { LogLine, Plugin } from "../types";

/** How often the log is asked for while somebody looks at it, in milliseconds. */
const LOG_INTERVAL = 3_000;
const CALL_SECONDS = "hubgate_plugin_call_seconds";

export function Plugins() {
  const all = plugins.value;
  return (
    <>
      <Heading>Plugins</Heading>
      {!all && <Loading />}
      {all?.length === 0 && <p class="card quiet">The configuration has no plugins.</p>}
      {all?.map((plugin) => <PluginCard key={plugin.name} plugin={plugin} />)}
    </>
  );
}

function PluginCard({ plugin }: { plugin: Plugin }) {
  const { name, state, generation, digest, loadedAt, calls, memoryBytes, traps, previous, limits } = plugin;
  const [open, setOpen] = useState<"swap" | "roll back" | null>(null);
  const close = () => setOpen(null);
  const isServing = state === "serving";
  return (
    <section class="card" aria-label={`Plugin ${name}`}>
      <header class="card-head">
        <h2>{name}</h2>
        <span class={`tag ${isServing ? "good" : "bad"}`}>{state}</span>
        <div class="actions">
          <ChangeButton impossible={previous === null ? "No version before this one is kept." : null} onClick={() => setOpen("roll back")}>Roll back…</ChangeButton>
          <ChangeButton onClick={() => setOpen("swap")}>Swap…</ChangeButton>
        </div>
      </header>
      <Trouble plugin={plugin} />
      <dl class="facts">
        <Fact name="Version">
          {digest === null ? (
            "none"
          ) : (
            <>
              {count(generation)} <code title={digest}>{shortDigest(digest)}</code>
            </>
          )}
        </Fact>
        <Fact name="Version before">{previous === null ? "none is kept" : <code title={previous}>{shortDigest(previous)}</code>}</Fact>
        <Fact name="Loaded">
          <Ago at={loadedAt} />
        </Fact>
        <Fact name="Memory">{bytes(memoryBytes)}</Fact>
        <Fact name="Calls">{count(calls)}</Fact>
        <Fact name="Traps">{count(traps)}</Fact>
        <Calls name={name} />
        <Fact name="Used by" isWide>
          <UsedBy hubs={plugin.hubs} />
        </Fact>
        <Fact name="Limits" isWide>
          {seconds(limits.callSeconds)} a call, {seconds(limits.cpuSeconds)} of them CPU time; {bytes(limits.memoryBytes)} of memory, {plural(limits.concurrency, "call")}{" "}
          at once, {bytes(limits.stateBytes)} of state, {plural(limits.timers, "timer")}
        </Fact>
      </dl>
      <Budgets name={name} />
      <Log name={name} />
      {open === "swap" && <Swap plugin={plugin} onClose={close} />}
      {open === "roll back" && <RollBack plugin={plugin} onClose={close} />}
    </section>
  );
}

const USES = [
  ["handler", "Handles"],
  ["filter", "Filters"],
  ["authorizer", "Lets clients into"],
] as const;

/** The hubs that the configuration uses it for. */
function UsedBy({ hubs }: { hubs: Plugin["hubs"] }) {
  const used = USES.filter(([use]) => hubs[use].length > 0);
  if (used.length === 0) {
    return <>No hub.</>;
  }
  return (
    <>
      {used.map(([use, verb]) => (
        <span key={use}>
          {verb}{" "}
          {[...hubs[use]].sort((a, b) => Number(a === "*") - Number(b === "*")).map((hub, index, { length }) => (
            <span key={hub}>
              {index > 0 && ", "}
              {hub === "*" ? `all ${length > 1 ? "other " : ""}hubs` : <a href={link("hubs", hub)}>{hub}</a>}
            </span>
          ))}
          .{" "}
        </span>
      ))}
    </>
  );
}

function Trouble({ plugin: { lastError, rolledBackFrom } }: { plugin: Plugin }) {
  return (
    <>
      {lastError && (
        <div class="warning">
          The newest file was refused <Ago at={lastError.at} />:<p class="detail">{lastError.reason}</p>
        </div>
      )}
      {rolledBackFrom && (
        <p class="warning">
          Version <code title={rolledBackFrom}>{shortDigest(rolledBackFrom)}</code>, which the file has, was rolled back and does not serve.
        </p>
      )}
    </>
  );
}

/** Calls of the last minute, by their number, their time and their ends. */
function Calls({ name }: { name: string }) {
  const minute = lastMinute.value;
  const labels = { plugin: name };
  const made = minute ? sum(minute.metrics, `${CALL_SECONDS}_count`, labels) : 0;
  // Where nobody calls now, those since the start say more than nothing.
  const metrics = made > 0 ? minute!.metrics : latest.value;
  const number = metrics ? sum(metrics, `${CALL_SECONDS}_count`, labels) : 0;
  const failed = minute ? by(minute.metrics, "hubgate_plugin_calls_total", "outcome", { ...labels, outcome: isFailure }) : [];
  const below = (part: number) => {
    const bound = metrics && quantile(metrics, CALL_SECONDS, part, labels);
    return bound === null || bound === undefined ? "–" : bound === Infinity ? "longer than all bounds" : `≤\u00a0${seconds(bound)}`;
  };
  return (
    <>
      <Fact name="Calls a second">{minute ? rate(made / minute.seconds) : "–"}</Fact>
      <Fact name="Errors in the last minute">{!minute ? "–" : failed.length ? failed.map(([what, times]) => `${count(times)} ${what}`).join(", ") : "none"}</Fact>
      <Fact name="Time per call" isWide>
        {metrics && number > 0 ? (
          <>
            {seconds(sum(metrics, `${CALL_SECONDS}_sum`, labels) / number)}{" "}
            <span class="quiet">
              mean; median {below(0.5)}, p99 {below(0.99)}
            </span>
          </>
        ) : (
          "–"
        )}
      </Fact>
    </>
  );
}

/** Which budgets the plugin has wanted more of, since the start and now. */
function Budgets({ name }: { name: string }) {
  const metric = "hubgate_plugin_budget_exceeded_total";
  const all = latest.value ? by(latest.value, metric, "budget", { plugin: name }) : [];
  if (all.length === 0) {
    return <p class="quiet">No budget was exceeded since the gateway started.</p>;
  }
  const lately = new Map(lastMinute.value ? by(lastMinute.value.metrics, metric, "budget", { plugin: name }) : []);
  return (
    <p>
      Budgets exceeded:{" "}
      {all.map(([budget, times], index) => (
        <span key={budget}>
          {index > 0 && ", "}
          <code>{budget}</code> {plural(times, "time")}
          {lately.has(budget) && <b> ({count(lately.get(budget)!)} in the last minute)</b>}
        </span>
      ))}
      .
    </p>
  );
}

/** What the log has about it, while somebody wants to see that. */
function Log({ name }: { name: string }) {
  const [isOpen, setOpen] = useState(false);
  const [lines, setLines] = useState<LogLine[] | null>(null);
  const [error, setError] = useState<string | null>(null);
  const mayRead = opensSecrets.value;
  useEffect(() => {
    if (!isOpen || !mayRead) {
      return undefined;
    }
    let isOver = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const ask = async () => {
      try {
        const answer = await read<{ lines: LogLine[] }>(`admin/plugins/${segment(name)}/log`);
        if (!isOver) {
          setLines(answer.lines);
          setError(null);
        }
      } catch (caught) {
        if (!isOver) {
          setError(words(caught));
        }
      }
      if (!isOver) {
        timer = setTimeout(() => void ask(), LOG_INTERVAL);
      }
    };
    void ask();
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [isOpen, mayRead, name]);
  return (
    <details class="more" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Log</summary>
      {!mayRead && <p class="quiet">What a plugin logs may have what clients say: it needs the admin token.</p>}
      <ErrorText>{error}</ErrorText>
      {mayRead && lines === null && !error && <Loading />}
      {lines?.length === 0 && <p class="quiet">The log has nothing about it since the gateway started.</p>}
      {lines !== null && lines.length > 0 && (
        <div class="log" tabIndex={0} role="log" aria-label={`Log of ${name}`}>
          <ol>
            {[...lines].reverse().map((line, index) => (
              <li key={`${line.at} ${index}`} class={line.level === "error" ? "line-bad" : undefined}>
                <time dateTime={line.at}>{line.at.slice(11, 19)}</time>
                <span class="level">{line.level}</span>
                <span>{line.text}</span>
              </li>
            ))}
          </ol>
        </div>
      )}
    </details>
  );
}

function Swap({ plugin: { name, generation }, onClose }: { plugin: Plugin; onClose: () => void }) {
  const [file, setFile] = useState<File | null>(null);
  const { isBusy, error, run, forget } = useAction();
  const chooser = useRef<HTMLInputElement>(null);
  const [tried, setTried] = useState<string | null>(null);
  const check = () =>
    run(async () => {
      setTried(null);
      if (!file) {
        throw new Error("Choose a file.");
      }
      const { digest } = await upload<{ digest: string }>(`admin/plugins/${segment(name)}/swap?dry-run`, file, "application/wasm");
      setTried(digest);
    });
  const submit = (event: Event) => {
    event.preventDefault();
    void run(async () => {
      if (!file) {
        throw new Error("Choose a file.");
      }
      await upload(`admin/plugins/${segment(name)}/swap`, file, "application/wasm");
      notice.value = `Plugin ${name}: ${file.name} serves.`;
      await refresh().catch(() => undefined);
      onClose();
    });
  };
  return (
    <Dialog title={`Swap ${name}`} onClose={onClose} isBusy={isBusy}>
      <form onSubmit={submit}>
        <p>
          The next calls are answered by the new version; clients stay connected, and calls under way end with version {count(generation)}. If the
          new one does not load, the present one goes on. The plugin's file is replaced.
        </p>
        <label class="field">
          Component (.wasm)
          <input
            ref={chooser}
            type="file"
            accept=".wasm,application/wasm"
            required
            disabled={isBusy}
            onChange={(event) => {
              setFile(event.currentTarget.files?.[0] ?? null);
              setTried(null);
              forget();
            }}
          />
        </label>
        {file && <p class="quiet">{bytes(file.size)}</p>}
        {tried !== null && (
          <p role="status">
            Version <code title={tried}>{shortDigest(tried)}</code> would serve. Nothing was changed.
          </p>
        )}
        <ErrorText>{error}</ErrorText>
        <div class="buttons">
          <button type="button" disabled={isBusy} onClick={onClose}>
            Cancel
          </button>
          <button type="button" disabled={isBusy} onClick={() => void check()}>
            Check
          </button>
          <button type="submit" class="primary" disabled={isBusy}>
            {isBusy ? "Uploading and compiling…" : "Swap"}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function RollBack({ plugin: { name, digest, previous }, onClose }: { plugin: Plugin; onClose: () => void }) {
  const { isBusy, error, run } = useAction();
  const roll = () =>
    run(async () => {
      const now = await change<Plugin>("POST", `admin/plugins/${segment(name)}/rollback`);
      notice.value = `Plugin ${name}: the version before serves again, as generation ${count(now.generation)}.`;
      await refresh().catch(() => undefined);
      onClose();
    });
  return (
    <Dialog title={`Roll back ${name}?`} onClose={onClose} isBusy={isBusy}>
      <p>
        Version <code title={previous ?? undefined}>{shortDigest(previous ?? "")}</code>, which served before{" "}
        {digest ? <code title={digest}>{shortDigest(digest)}</code> : "the present one"}, answers the next calls. Clients stay connected.
      </p>
      <ErrorText>{error}</ErrorText>
      <div class="buttons">
        <button type="button" disabled={isBusy} onClick={onClose}>
          Cancel
        </button>
        <button type="button" class="primary" disabled={isBusy} onClick={roll}>
          {isBusy ? "Rolling back…" : "Roll back"}
        </button>
      </div>
    </Dialog>
  );
}
