// The chat's connection on the unmodified npm client, which index.html loads before this.

const LONGEST_DELAY = 5_000;
const delay = (failures) => Math.min(250 * 2 ** failures, LONGEST_DELAY);

/**
 * Keeps a connection to the hub at `path` until the hub ends it for good.
 *
 * `handlers.state(state, error)` hears how it is, `handlers.connected()` of every new connection, and `handlers.events`
 * has a function for each event of the hub.
 */
export function connect(path, handlers) {
  if (!window.signalR) {
    const missing = new Error("The npm client is not here: run npm ci --prefix examples/chat-rust/www, and reload.");
    handlers.state("closed", missing);
    return { invoke: () => Promise.reject(missing) };
  }
  const connection = new signalR.HubConnectionBuilder()
    .withUrl(path)
    .withAutomaticReconnect({ nextRetryDelayInMilliseconds: ({ previousRetryCount }) => delay(previousRetryCount) })
    .build();
  for (const [event, handler] of Object.entries(handlers.events)) {
    connection.on(event, handler);
  }
  const connected = () => {
    handlers.state("connected");
    handlers.connected();
  };
  connection.onreconnecting((error) => handlers.state("reconnecting", error));
  connection.onreconnected(connected);
  connection.onclose((error) => handlers.state("closed", error));
  start(0);
  return { invoke: (target, ...args) => connection.invoke(target, ...args) };

  /** The client comes back by itself once it was connected; the first time is up to the page. */
  async function start(failures) {
    handlers.state("connecting");
    try {
      await connection.start();
      connected();
    } catch (error) {
      handlers.state("connecting", error);
      setTimeout(() => start(failures + 1), delay(failures));
    }
  }
}
