import assert from "node:assert/strict";
import { test } from "node:test";
import { parse } from "./metrics";
import { ofCluster, ofHubs, ofMetrics, ofPlugins } from "./problems";

const texts = (problems) => problems.map(({ level, text, detail = "" }) => `${level}: ${text} ${detail}`.trim());
const grown = (text, seconds = 60) => texts(ofMetrics(parse(text), seconds, Date.parse("2026-03-01T12:00:00Z")));

test("where all is well nothing is wrong", () => {
  const well = `hubgate_plugin_calls_total{plugin="chat",outcome="ok"} 900
hubgate_plugin_calls_total{plugin="chat",outcome="rejected"} 4
hubgate_client_connections_closed_total{hub="chat",reason="Normal"} 3
hubgate_webhook_requests_total{outcome="ok"} 5
hubgate_certificate_expires_timestamp_seconds 1790000000`;
  assert.deepEqual(grown(well), []);
  assert.deepEqual([...ofHubs(null), ...ofPlugins([]), ...ofCluster(null)], []);
});

test("failed calls are named by how they ended, and are a fault when they are many", () => {
  const calls = (ok) => `hubgate_plugin_calls_total{plugin="chat",outcome="ok"} ${ok}
hubgate_plugin_calls_total{plugin="chat",outcome="trapped"} 2
hubgate_plugin_calls_total{plugin="chat",outcome="timed-out"} 10`;
  assert.deepEqual(grown(calls(88)), ["bad: 12 of 100 calls to plugin chat failed in the last minute. 10 timed-out, 2 trapped"]);
  assert.match(grown(calls(988))[0], /^warn: 12 of 1,000 calls/);
});

test("requests that were refused are told with the reason, over the time that was looked at", () => {
  assert.deepEqual(grown('hubgate_requests_refused_total{reason="token"} 1', 14), [
    "warn: 1 request was refused in the last 14 s. no valid access token: 1",
  ]);
});

test("a certificate is told of before it ends", () => {
  const expiring = (at) => grown(`hubgate_certificate_expires_timestamp_seconds ${Date.parse(at) / 1000}`);
  assert.deepEqual(expiring("2026-03-04T13:00:00Z"), ["warn: The certificate expires in 3 days."]);
  assert.deepEqual(expiring("2026-02-28T12:00:00Z"), ["bad: The certificate has expired."]);
  assert.deepEqual(expiring("2026-04-01T12:00:00Z"), []);
});

test("a hub in default mode without a hub server, and a plugin that does not serve, are named", () => {
  const hub = (mode, serverConnections) => ({ mode, clients: 0, waitingClients: 0, serverConnections });
  const hubs = new Map([["a", hub("default", 0)], ["b", hub("default", 5)], ["c", hub("serverless", 0)]]);
  assert.deepEqual(texts(ofHubs(hubs)), ["warn: Hub a is in default mode and has no hub server: clients are refused."]);
  const plugin = { name: "chat", state: "refused", lastError: { reason: "No such file.", at: "" }, rolledBackFrom: null };
  assert.deepEqual(texts(ofPlugins([plugin])), ["bad: Plugin chat does not serve: calls to it fail. No such file."]);
});

test("a cluster says which node differs in what", () => {
  const node = (name, more) => ({ node: name, version: "1", clients: 0, lagSeconds: 0, ...more });
  const nodes = [node("n1"), node("n2", { differs: ["keys", "hubs"] }), node("n3", { lagSeconds: 4.2 })];
  assert.deepEqual(texts(ofCluster({ node: "n1", degraded: true, nodes })), [
    "bad: Node n2 is configured differently: keys, hubs.",
    "warn: Messages for node n3 have waited for 4 s.",
  ]);
});
