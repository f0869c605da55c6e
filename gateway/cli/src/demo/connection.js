// A SignalR connection without a library: the JSON hub protocol over a WebSocket, as much of it as a page needs.

const SEPARATOR = "\u001e";
const PING_PERIOD = 10_000;
const LONGEST_SILENCE = 30_000;
const LONGEST_DELAY = 5_000;

/**
 * Keeps a connection to the hub at `path` until the hub ends it for good.
 *
 * `handlers.state(state, error)` hears how it is, `handlers.connected()` of every new connection, and `handlers.events`
 * has a function for each event of the hub.
 */
export function connect(path, handlers) {
  let socket;
  let calls = new Map();
  let lastCall = 0;

  run();
  return { invoke };

  async function run() {
    handlers.state("connecting");
    for (let failures = 0; ; ) {
      try {
        const end = await live(() => (failures = 0));
        if (!end.again) {
          return handlers.state("closed", end.error);
        }
        handlers.state("reconnecting");
      } catch (error) {
        handlers.state("reconnecting", error);
      }
      await new Promise((resolve) => setTimeout(resolve, Math.min(250 * 2 ** failures, LONGEST_DELAY)));
      failures += 1;
    }
  }

  /** One connection from its negotiation to its end. */
  async function live(started) {
    const { url, token, id } = await negotiate(new URL(path, location.href));
    url.protocol = url.protocol.replace("http", "ws");
    url.searchParams.set("id", id);
    if (token) {
      // A browser's WebSocket sends no headers.
      url.searchParams.set("access_token", token);
    }
    socket = new WebSocket(url);
    socket.onopen = () => send({ protocol: "json", version: 1 });
    const pings = setInterval(() => socket.readyState === WebSocket.OPEN && send({ type: 6 }), PING_PERIOD);
    let silence = setTimeout(() => socket.close(), LONGEST_SILENCE);
    let handshake = "open";
    let end = { again: true };

    return new Promise((resolve) => {
      socket.onmessage = ({ data }) => {
        clearTimeout(silence);
        silence = setTimeout(() => socket.close(), LONGEST_SILENCE);
        for (const text of data.split(SEPARATOR).slice(0, -1)) {
          const message = JSON.parse(text);
          if (handshake === "done") {
            end = receive(message) ?? end;
          } else if (message.error) {
            end = { again: false, error: new Error(message.error) };
          } else {
            handshake = "done";
            started();
            handlers.state("connected");
            handlers.connected();
          }
        }
      };
      socket.onclose = () => {
        clearInterval(pings);
        clearTimeout(silence);
        for (const { reject } of calls.values()) {
          reject(new Error("The connection has ended."));
        }
        calls = new Map();
        resolve(end);
      };
    });
  }

  /** Handles one message; gives how the connection ends if it says so. */
  function receive(message) {
    switch (message.type) {
      case 1:
        handlers.events[message.target]?.(...message.arguments);
        break;
      case 3: {
        const call = calls.get(message.invocationId);
        calls.delete(message.invocationId);
        if ("error" in message) {
          call?.reject(new Error(message.error));
        } else {
          call?.resolve(message.result);
        }
        break;
      }
      case 7:
        return { again: message.allowReconnect === true, error: message.error && new Error(message.error) };
    }
  }

  /** Calls a method of the hub; the result, or an error with the hub's words, comes later. */
  function invoke(target, ...args) {
    return new Promise((resolve, reject) => {
      if (socket?.readyState !== WebSocket.OPEN) {
        return reject(new Error("There is no connection."));
      }
      const invocationId = String((lastCall += 1));
      calls.set(invocationId, { resolve, reject });
      send({ type: 1, invocationId, target, arguments: args });
    });
  }

  function send(message) {
    socket.send(JSON.stringify(message) + SEPARATOR);
  }
}

/** Where the connection is to be opened, with which token and id: the answer may send elsewhere first. */
async function negotiate(url) {
  let token;
  for (let redirects = 0; redirects < 10; redirects += 1) {
    const question = new URL(url);
    question.pathname = question.pathname.replace(/\/?$/, "/negotiate");
    question.searchParams.set("negotiateVersion", "1");
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    const answer = await fetch(question, { method: "POST", headers });
    if (!answer.ok) {
      throw new Error(`The gateway answers ${answer.status}: ${await answer.text()}`);
    }
    const { error, url: elsewhere, accessToken, connectionToken } = await answer.json();
    if (error) {
      throw new Error(error);
    }
    if (!elsewhere) {
      return { url, token, id: connectionToken };
    }
    url = new URL(elsewhere);
    token = accessToken ?? token;
  }
  throw new Error("The gateway sends this page in circles.");
}
