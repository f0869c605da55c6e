// What is wrong now, in words: from the metrics' growth in the last minute, and from what hubs, plugins and nodes say of themselves.

import { computed } from "@preact/signals";
import { count, duration, plural, time } from "./format";
import { away, cluster, hubs, isFailure, isFault, lastMinute, now, plugins } from "./live";
import { type Metrics, by, select, sum } from "./metrics";
import { link } from "./route";
import type { Cluster, Hub, Plugin } from "./types";

export interface Problem {
  /** `bad`: somebody is not served. `warn`: somebody will have to look. */
  level: "bad" | "warn";
  text: string;
  /** More of it, in the gateway's words. */
  detail?: string;
  href?: string;
}

export const problems = computed<Problem[]>(() => {
  const found = [
    ...ofAway(away.value),
    ...ofCluster(cluster.value),
    ...ofPlugins(plugins.value ?? []),
    ...ofHubs(hubs.value),
    ...(lastMinute.value ? ofMetrics(lastMinute.value.metrics, lastMinute.value.seconds, now.value) : []),
  ];
  return found.sort((a, b) => Number(a.level === "warn") - Number(b.level === "warn"));
});

function ofAway(gone: { since: number; why: string } | null): Problem[] {
  if (!gone) {
    return [];
  }
  return [{ level: "bad", text: `The gateway has not answered since ${time(gone.since)}: what is shown is older.`, detail: gone.why }];
}

export function ofCluster(status: Cluster | null | undefined): Problem[] {
  if (!status) {
    return [];
  }
  const href = link("nodes");
  const found: Problem[] = [];
  if (status.joined === false) {
    found.push({ level: "bad", text: "This node has not joined its cluster yet.", href });
  }
  const others = status.nodes.filter(({ differs }) => differs && differs.length > 0);
  for (const { node, differs = [] } of others) {
    found.push({ level: "bad", text: `Node ${node} is configured differently: ${differs.join(", ")}.`, href });
  }
  for (const { node, lagSeconds } of status.nodes.filter((node) => node.lagSeconds >= 1)) {
    found.push({ level: "warn", text: `Messages for node ${node} have waited for ${duration(lagSeconds)}.`, href });
  }
  if (status.degraded && found.length === 0) {
    found.push({ level: "bad", text: "The cluster is degraded: other nodes may not be reached.", href });
  }
  return found;
}

export function ofPlugins(all: Plugin[]): Problem[] {
  return all.flatMap(({ name, state, lastError, rolledBackFrom }): Problem[] => {
    const href = link("plugins");
    if (state !== "serving") {
      return [{ level: "bad", text: `Plugin ${name} does not serve: calls to it fail.`, detail: lastError?.reason, href }];
    }
    if (lastError) {
      return [{ level: "warn", text: `The newest file of plugin ${name} was refused; the version before it serves.`, detail: lastError.reason, href }];
    }
    return rolledBackFrom ? [{ level: "warn", text: `Plugin ${name} was rolled back: its file has a version that does not serve.`, href }] : [];
  });
}

export function ofHubs(all: Map<string, Hub> | null): Problem[] {
  return [...(all ?? [])]
    .filter(([, { mode, serverConnections }]) => mode === "default" && serverConnections === 0)
    .map(([name]) => ({
      level: "warn" as const,
      text: `Hub ${name} is in default mode and has no hub server: clients are refused.`,
      href: link("hubs", name),
    }));
}

/** Why requests were refused, where the label alone says too little. */
const REFUSALS: Record<string, string> = {
  token: "no valid access token",
  hub: "no hub, or no hub's name",
  request: "malformed, or a method that the path does not have",
  path: "nothing is at the path",
  absent: "what is asked for is not there",
  connection: "unknown or expired connection id",
  transport: "a transport that the token does not allow",
  "hub-server": "hub servers of a hub in serverless mode",
  joining: "the gateway has not joined its cluster",
  host: "another host than the gateway's",
  "network-rules": "denied by network rules",
  "provider-keys": "the identity provider's keys have not come",
  authorizer: "not let in by the authorizer",
  "authorizer-failed": "the authorizer failed",
  anonymous: "no token where one is needed",
  "no-answer": "a worker thread stands still",
  node: "the connection's node is not reached",
  malformed: "bytes that are not HTTP",
  tls: "failed TLS handshakes",
};

/** Why clients were lost. */
const LOSSES: Record<string, string> = {
  BadRequest: "broke the protocol",
  HandshakeError: "bad or late handshake",
  InternalError: "defect of the gateway",
  InvokeUpstreamFailed: "upstream refused them or failed",
  NoAvailableServerConnection: "no hub server is connected",
  ServerConnectionClosed: "their hub server was lost",
  ServerConnectionNotFound: "the hub server that their token requires is not connected",
  SlowClient: "took too little of what waited for them",
};

/** `no valid access token: 12, connections-per-ip: 3` */
function reasons(counts: [string, number][], phrases: Record<string, string>): string {
  return counts.map(([reason, number]) => `${phrases[reason] ?? reason}: ${count(number)}`).join(", ");
}

/** `12 timed-out, 3 trapped` */
function listed(counts: [string, number][]): string {
  return counts.map(([what, number]) => `${count(number)} ${what}`).join(", ");
}

export function ofMetrics(grown: Metrics, seconds: number, at: number): Problem[] {
  const span = seconds >= 55 ? "in the last minute" : `in the last ${Math.round(seconds)} s`;
  const found: Problem[] = [];
  const add = (level: Problem["level"], text: string, more: Partial<Problem> = {}) => found.push({ level, text, ...more });

  const panics = by(grown, "hubgate_task_panics_total", "task");
  if (panics.length) {
    add("bad", `A defect of the gateway came to light ${span}. Please report it, with the log.`, { detail: listed(panics) });
  }
  for (const [plugin] of by(grown, "hubgate_plugin_breaker_open", "plugin")) {
    add("bad", `Calls of plugin ${plugin} are answered as busy, because nearly all of them ran into their budget.`, { href: link("plugins") });
  }
  for (const [plugin, failed] of by(grown, "hubgate_plugin_calls_total", "plugin", { outcome: isFailure })) {
    const all = sum(grown, "hubgate_plugin_calls_total", { plugin });
    const outcomes = by(grown, "hubgate_plugin_calls_total", "outcome", { plugin, outcome: isFailure });
    const level = failed > all / 20 ? "bad" : "warn";
    add(level, `${count(failed)} of ${plural(all, "call")} to plugin ${plugin} failed ${span}.`, { detail: listed(outcomes), href: link("plugins") });
  }
  for (const [plugin, times] of by(grown, "hubgate_plugin_timer_events_total", "plugin", { event: "given-up" })) {
    add("warn", `Plugin ${plugin} has lost ${plural(times, "timer")} ${span}: its calls broke off again and again.`, { href: link("plugins") });
  }
  const webhooks = by(grown, "hubgate_webhook_requests_total", "outcome", { outcome: (outcome) => outcome !== "ok" });
  if (webhooks.length) {
    add("bad", `Webhooks failed ${span}.`, { detail: listed(webhooks) });
  }
  const lost = by(grown, "hubgate_client_connections_closed_total", "reason", { reason: isFault });
  if (lost.length) {
    add("warn", `${plural(total(lost), "client")} lost the connection through a fault ${span}.`, { detail: reasons(lost, LOSSES) });
  }
  const refused = by(grown, "hubgate_requests_refused_total", "reason");
  if (refused.length) {
    add("warn", `${plural(total(refused), "request")} ${total(refused) === 1 ? "was" : "were"} refused ${span}.`, { detail: reasons(refused, REFUSALS) });
  }
  const dropped = by(grown, "hubgate_calls_dropped_total", "hub");
  if (dropped.length) {
    add("warn", `${plural(total(dropped), "call")} never got to upstream ${span}, because too much was waiting.`, { detail: listed(dropped) });
  }
  const clusterLost = sum(grown, "hubgate_cluster_lost_total");
  if (clusterLost > 0) {
    add("bad", `${plural(clusterLost, "message")} to other nodes may be lost ${span}.`, { href: link("nodes") });
  }
  found.push(...ofCertificate(grown, at));
  return found;
}

function ofCertificate(metrics: Metrics, at: number): Problem[] {
  const [certificate] = select(metrics, "hubgate_certificate_expires_timestamp_seconds");
  if (!certificate) {
    return [];
  }
  if (certificate.value === 0) {
    return [{ level: "bad", text: "The gateway has no certificate yet; its log says why." }];
  }
  const left = certificate.value - at / 1000;
  if (left <= 0) {
    return [{ level: "bad", text: "The certificate has expired." }];
  }
  return left < 14 * 86_400 ? [{ level: "warn", text: `The certificate expires in ${duration(left)}.` }] : [];
}

function total(counts: [string, number][]): number {
  return counts.reduce((all, [, number]) => all + number, 0);
}
