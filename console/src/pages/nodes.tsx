import { count, duration, seconds } from "../format";
import { cluster } from "../live";
import { Fact, Heading, Loading } from "../parts/pieces";
import { Table } from "../parts/table";
import { ofCluster } from "../problems";

export function Nodes() {
  const status = cluster.value;
  return (
    <>
      <Heading>Nodes</Heading>
      {status === undefined && <Loading />}
      {status === null && <p class="card quiet">This gateway serves alone: its configuration has no [cluster].</p>}
      {status && (
        <>
          <dl class="facts card">
            {status.name && <Fact name="Cluster">{status.name}</Fact>}
            <Fact name="State">{status.degraded ? <span class="tag bad">degraded</span> : <span class="tag good">whole</span>}</Fact>
            <Fact name="You are at">{status.node}</Fact>
            <Fact name="Clients in all">{count(status.nodes.reduce((all, { clients }) => all + clients, 0))}</Fact>
          </dl>
          {ofCluster(status).map(({ text }) => (
            <p key={text} class="warning">
              {text}
            </p>
          ))}
          <section class="card">
            <Table
              label="Nodes"
              rows={status.nodes}
              id={({ node }) => node}
              columns={[
                {
                  title: "Node",
                  cell: ({ node }) => (
                    <>
                      {node} {node === status.node && <span class="tag">this one</span>}
                    </>
                  ),
                },
                { title: "Version", cell: ({ version }) => version },
                { title: "Clients", isNumber: true, cell: ({ clients }) => count(clients) },
                { title: "Lag", isNumber: true, cell: ({ lagSeconds }) => (lagSeconds ? seconds(lagSeconds) : "none") },
                { title: "Last heard", isNumber: true, cell: ({ heardSecondsAgo }) => (heardSecondsAgo ? `${duration(heardSecondsAgo)} ago` : "now") },
                { title: "Differs in", cell: ({ differs }) => (differs?.length ? differs.join(", ") : "nothing") },
              ]}
            />
          </section>
        </>
      )}
    </>
  );
}
