// The service modes, and what a change of them does, as docs/modes.md has it.

import type { Mode } from "./types";

export interface Explained {
  mode: Mode;
  name: string;
  takeIt: string;
  how: string;
  mind: string;
}

export const MODES: readonly Explained[] = [
  {
    mode: "default",
    name: "Default",
    takeIt: "For an ASP.NET Core application with the Azure SignalR server SDK.",
    how: "The application holds the hub and answers its clients; the gateway carries what they say.",
    mind: "Clients are refused while no hub server is connected.",
  },
  {
    mode: "serverless",
    name: "Serverless",
    takeIt: "For handlers in a plugin or behind a webhook, and for sending over REST.",
    how: "No application stays connected: the gateway answers clients and hands their calls to upstream.",
    mind: "Hub servers are refused. Calls need an [[upstream]] item of the configuration that matches the hub.",
  },
  {
    mode: "classic",
    name: "Classic",
    takeIt: "Only for an application that was made for it.",
    how: "As default while a hub server is connected. Otherwise the gateway answers new clients.",
    mind: "Clients that the gateway answers can only receive, even after a hub server has come.",
  },
];

export function modeName(mode: string): string {
  return MODES.find((known) => known.mode === mode)?.name ?? mode;
}

const CHANGES: Record<string, string> = {
  "default→serverless": "All clients are closed, then the hub servers, which are refused when they come back. Calls go to upstream from then on.",
  "default→classic": "Nobody is closed.",
  "serverless→default": "All clients are closed. Hub servers may connect at once; clients are refused until one has.",
  "serverless→classic": "Nobody is closed. Calls of those who are connected are answered with an error, since upstream is no longer called.",
  "classic→default": "Clients without a hub server are closed; those with one stay.",
  "classic→serverless": "Clients with a hub server are closed, then the hub servers, which are refused when they come back. Calls of the other clients go to upstream.",
};

/** What happens to whom when a hub changes its mode. */
export function consequences(from: Mode, to: Mode): string {
  return CHANGES[`${from}→${to}`] ?? "";
}
