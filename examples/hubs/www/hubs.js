// What the pages share: a connection by the unmodified npm client, which each page loads before, and its state.

const LONGEST_DELAY = 5_000;
const delay = (failures) => Math.min(250 * 2 ** failures, LONGEST_DELAY);

export const element = (id) => document.getElementById(id);

/** A new element with properties and children. */
export function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

export function showProblem(text) {
  element("problem").textContent = text;
  element("problem").hidden = text === "";
}

/** Does something for the reader, who is told if it fails. */
export async function attempt(work) {
  showProblem("");
  try {
    return await work();
  } catch (error) {
    // The client puts words of its own before those of the hub.
    showProblem(error.message.replace(/^.*HubException: /, ""));
  }
}

function showState(state, text) {
  element("status").dataset.state = state;
  element("status").textContent = text;
}

/** Connects to a hub, and again whenever that is lost; `handlers` are what the hub calls. */
export function connect(hub, handlers, whenConnected) {
  if (!window.signalR) {
    showState("closed", "Not connected");
    showProblem("The npm client is not here: run npm ci --prefix examples/hubs/www, and reload.");
    throw new Error("there is no client");
  }
  const connection = new signalR.HubConnectionBuilder()
    .withUrl(`/hubs/${hub}`)
    .withAutomaticReconnect({ nextRetryDelayInMilliseconds: ({ previousRetryCount }) => delay(previousRetryCount) })
    .build();
  for (const [name, handler] of Object.entries(handlers)) connection.on(name, handler);
  const connected = () => {
    showState("connected", "Connected");
    return attempt(whenConnected);
  };
  connection.onreconnecting(() => showState("connecting", "Connecting…"));
  connection.onreconnected(connected);
  connection.onclose(() => showState("closed", "Not connected"));
  start(connection, connected, 0);
  return connection;
}

async function start(connection, connected, failures) {
  try {
    await connection.start();
  } catch {
    showState("connecting", "The gateway does not answer yet…");
    setTimeout(() => start(connection, connected, failures + 1), delay(failures));
    return;
  }
  await connected();
}
