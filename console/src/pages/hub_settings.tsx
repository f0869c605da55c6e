import type { ComponentChildren } from "preact";
import { count } from "../format";
import { link } from "../route";
import type { HubSettings, Mode } from "../types";

/** What the configuration says of a hub: who answers, what messages pass, and who may come. */
export function Configured({ name, mode, settings }: { name: string; mode: Mode; settings: HubSettings }) {
  const { upstream, filters, messagesPerSecond, corsOrigins, closesOnExpiry } = settings;
  return (
    <section class="card" aria-labelledby="configured">
      <h2 id="configured">Configuration</h2>
      <dl class="settings">
        <Setting name="Upstream">
          {mode !== "serverless" ? (
            "Only in serverless mode."
          ) : upstream.length === 0 ? (
            <span class="warned">No [[upstream]] item matches the hub: calls that wait for an answer are errors.</span>
          ) : (
            <Steps>{upstream.map(upstreamText)}</Steps>
          )}
        </Setting>
        <Setting name="Filters">{filters.length === 0 ? "None." : <Steps>{filters.map(filterText)}</Steps>}</Setting>
        <Setting name="Sign-in">
          {signInText(name, settings.signIn)}
          {closesOnExpiry && " Connections close when the token that the gateway gave expires."}
        </Setting>
        <Setting name="CORS">
          {corsOrigins.length === 0 ? (
            "No page of another origin may connect, except by a WebSocket without negotiation."
          ) : corsOrigins.includes("*") ? (
            "Pages of all origins, without credentials."
          ) : (
            <>
              Pages of <List names={corsOrigins} />.
            </>
          )}
        </Setting>
        <Setting name="Messages a second">{messagesPerSecond === 0 ? "No limit." : `${count(messagesPerSecond)} of all clients together.`}</Setting>
      </dl>
    </section>
  );
}

function Setting({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** In an order that matters. */
function Steps({ children }: { children: ComponentChildren[] }) {
  return children.length === 1 ? (
    <>{children[0]}</>
  ) : (
    <ol>
      {children.map((child, index) => (
        <li key={index}>{child}</li>
      ))}
    </ol>
  );
}

function List({ names }: { names: string[] }) {
  return (
    <>
      {names.map((name, index) => (
        <span key={name}>
          {index > 0 && ", "}
          <code>{name}</code>
        </span>
      ))}
    </>
  );
}

function PluginLink({ name, word = "plugin" }: { name: string; word?: string }) {
  return (
    <>
      {word} <a href={link("plugins")}>{name}</a>
    </>
  );
}

function upstreamText({ plugin, webhook, categories, events }: HubSettings["upstream"][number]) {
  const handler = plugin !== null ? <PluginLink name={plugin} /> : <>webhook <code>{webhook}</code></>;
  return (
    <>
      {events === "*" ? "All events" : <List names={events} />}
      {categories !== "*" && (
        <>
          {" "}
          of <List names={categories} />
        </>
      )}
      : {handler}.
    </>
  );
}

function filterText({ plugin, methods, failing }: HubSettings["filters"][number]) {
  return (
    <>
      <PluginLink name={plugin} word="Plugin" /> sees {methods === null ? "all messages" : <List names={methods} />}; where it fails, messages{" "}
      {failing === "closed" ? "are refused" : "pass"}.
    </>
  );
}

function signInText(hub: string, signIn: HubSettings["signIn"]) {
  const path = <code>/hubs/{hub}/negotiate</code>;
  switch (signIn.by) {
    case "anybody":
      return <>Anybody, as nobody in particular, by {path}, or with a token of an application.</>;
    case "plugin":
      return (
        <>
          The authorizer of <PluginLink name={signIn.plugin} /> decides, at {path}.
        </>
      );
    case "jwt":
      return (
        <>
          With a token of the identity provider{signIn.anonymous && ", or none"}, by {path}.
        </>
      );
    default:
      return "With a token that an application has signed with an access key.";
  }
}
