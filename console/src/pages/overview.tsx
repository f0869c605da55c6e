import { useMemo } from "preact/hooks";
import { bytes, count, plural, rate } from "../format";
import { type Rates, cluster, history, hubRates, hubs, plugins, rates } from "../live";
import { modeName } from "../modes";
import { Chart } from "../parts/chart";
import { Heading, Loading } from "../parts/pieces";
import { Table } from "../parts/table";
import { problems } from "../problems";
import { link } from "../route";

export function Overview() {
  return (
    <>
      <Heading>Overview</Heading>
      <Problems />
      <Tiles />
      <Charts />
      <HubsNow />
    </>
  );
}

function Problems() {
  const known = rates.value !== null;
  const found = problems.value;
  return (
    <section class="card" aria-labelledby="wrong">
      <h2 id="wrong">What is wrong now</h2>
      {found.length === 0 && <p class={known ? "well" : "quiet"}>{known ? "Nothing, as far as the gateway can tell." : "Looking…"}</p>}
      <ul class="problems">
        {found.map(({ level, text, detail, href }) => (
          <li key={text} class={level}>
            <span class="mark" aria-hidden="true" />
            <div>
              <span class="only-read">{level === "bad" ? "Fault: " : "Warning: "}</span>
              {href ? <a href={href}>{text}</a> : text}
              {detail && <p class="detail">{detail}</p>}
            </div>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Tiles() {
  const now = rates.value;
  const all = plugins.value;
  const nodes = cluster.value?.nodes.length;
  const errors = now ? (now.failedCalls + now.refusedRequests + now.lostClients) * 60 : 0;
  const show = (value: number | undefined, format: (value: number) => string) => (value === undefined ? "–" : format(value));
  const serving = all?.filter(({ state }) => state === "serving").length;
  return (
    <dl class="tiles">
      <Tile name="Connections" value={show(now?.clients, count)} more={nodes ? "of this node" : "clients"} href={link("connections")} />
      <Tile name="Messages in" value={show(now?.messagesIn, rate)} more={`a second, ${show(now?.bytesIn, bytes)}/s`} />
      <Tile name="Messages out" value={show(now?.messagesOut, rate)} more={`a second, ${show(now?.bytesOut, bytes)}/s`} />
      <Tile name="Errors" value={now ? rate(errors) : "–"} more="a minute" />
      <Tile name="Plugins" value={show(serving, count)} more={all && serving !== all.length ? `of ${count(all.length)} serve` : "serving"} href={link("plugins")} />
      {nodes !== undefined && <Tile name="Nodes" value={count(nodes)} more={cluster.value?.degraded ? "degraded" : "in the cluster"} href={link("nodes")} />}
    </dl>
  );
}

function Tile({ name, value, more, href }: { name: string; value: string; more: string; href?: string }) {
  return (
    <div class="tile">
      <dt>{href ? <a href={href}>{name}</a> : name}</dt>
      <dd>
        <span class="figure">{value}</span> <span class="quiet">{more}</span>
      </dd>
    </div>
  );
}

function Charts() {
  const points = history.value;
  const [times, of] = useMemo(() => {
    const values = (pick: (rates: Rates) => number) => points.map(({ rates }) => rates && pick(rates));
    return [points.map(({ at }) => at), values] as const;
  }, [points]);
  const line = (label: string, color: string, pick: (rates: Rates) => number) => ({ label, color, values: of(pick) });
  return (
    <div class="charts">
      <Chart title="Connections" times={times} show={count} least={10} lines={[line("clients", "--series-0", ({ clients }) => clients)]} />
      <Chart
        title="Messages a second"
        times={times}
        show={rate}
        lines={[line("out", "--series-0", ({ messagesOut }) => messagesOut), line("in", "--series-1", ({ messagesIn }) => messagesIn)]}
      />
      <Chart
        title="Bytes a second"
        times={times}
        show={bytes}
        isBytes
        least={1024}
        lines={[line("out", "--series-0", ({ bytesOut }) => bytesOut), line("in", "--series-1", ({ bytesIn }) => bytesIn)]}
      />
      <Chart
        title="Errors a second"
        times={times}
        show={rate}
        lines={[
          line("refused requests", "--series-0", ({ refusedRequests }) => refusedRequests),
          line("failed calls", "--series-1", ({ failedCalls }) => failedCalls),
          line("clients lost", "--series-2", ({ lostClients }) => lostClients),
        ]}
      />
    </div>
  );
}

function HubsNow() {
  const all = hubs.value;
  if (!all) {
    return <Loading />;
  }
  const busiest = [...all].sort((a, b) => b[1].clients - a[1].clients).slice(0, 8);
  if (busiest.length === 0) {
    return null;
  }
  return (
    <section class="card">
      <h2>{all.size > busiest.length ? `Hubs with most clients, of ${plural(all.size, "hub")}` : "Hubs"}</h2>
      <Table
        label="Hubs"
        rows={busiest}
        id={([name]) => name}
        columns={[
          { title: "Hub", cell: ([name]) => <a href={link("hubs", name)}>{name}</a> },
          { title: "Mode", cell: ([, { mode }]) => modeName(mode) },
          { title: "Clients", isNumber: true, cell: ([, { clients }]) => count(clients) },
          { title: "Messages in/s", isNumber: true, cell: ([name]) => rate(hubRates(name)?.messagesIn ?? 0) },
          { title: "Messages out/s", isNumber: true, cell: ([name]) => rate(hubRates(name)?.messagesOut ?? 0) },
        ]}
      />
    </section>
  );
}
