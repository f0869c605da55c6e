// The chat's page: what is typed becomes calls of the hub, what the hub says becomes lines.

import { connect } from "./connection.js";

const HUB = "chat";
/** How often the page asks how the gateway is. */
const STATUS_PERIOD = 1_000;

const LONGEST_LOG = 500;
const NAMES = ["Badger", "Curlew", "Dormouse", "Egret", "Finch", "Heron", "Ibex", "Lynx", "Marten", "Otter", "Puffin", "Wren"];
const STATES = { connecting: "Connecting…", connected: "Connected", reconnecting: "Reconnecting…", closed: "Disconnected" };

const $ = (id) => document.getElementById(id);
/** Room name → { lines, unread }, in the order in which they were joined. */
const rooms = new Map();
let name = "";
let current = "";
let disconnects = 0;

const connection = connect(`hubs/${HUB}`, {
  state(state, error) {
    if (state === "reconnecting" && $("status").dataset.state === "connected") {
      $("disconnects").textContent = String((disconnects += 1));
    }
    $("status").dataset.state = state;
    $("status").textContent = STATES[state];
    const isAway = state === "reconnecting" || (state === "connecting" && Boolean(error));
    $("away").hidden = !isAway;
    for (const button of document.querySelectorAll("form button")) {
      button.disabled = state !== "connected";
    }
    // Of one that is away a browser tells nothing that helps.
    const isTold = !isAway || error?.message.startsWith("The gateway");
    showProblem(isTold ? error : undefined);
  },
  /** A connection that comes back is a new one, which is in no room yet. */
  async connected() {
    for (const room of [...rooms.keys()]) {
      await attempt(() => join(room));
    }
  },
  events: {
    said: (room, who, text) => add(room, { who, text }),
    joined: (room, who) => add(room, { news: `${who} has joined` }),
    left: (room, who) => add(room, { news: `${who} has left` }),
  },
});

$("name").value = NAMES[Math.floor(Math.random() * NAMES.length)];

on("enter", async () => {
  name = $("name").value.trim();
  await open($("first-room").value.trim());
  $("enter").hidden = true;
  $("talk").hidden = false;
  document.title = `${name} · Hubgate chat`;
  show(current);
  $("text").focus();
});

on("add", async () => {
  const room = $("another-room").value.trim();
  if (rooms.has(room)) {
    show(room);
  } else {
    await open(room);
  }
  $("another-room").value = "";
  $("text").focus();
});

on("say", async () => {
  await connection.invoke("say", current, $("text").value);
  $("text").value = "";
});

watch();

/** Asks how the component is, again and again while somebody looks. */
async function watch() {
  for (;;) {
    if (!document.hidden) {
      const answer = await fetch(`hubgate/status?hub=${HUB}`).catch(() => undefined);
      if (answer?.ok) {
        showFacts(await answer.json());
      }
    }
    await new Promise((resolve) => setTimeout(resolve, STATUS_PERIOD));
  }
}

function showFacts({ clients, plugins }) {
  $("clients").textContent = String(clients);
  const plugin = plugins.find((each) => each.name === HUB) ?? plugins[0];
  if (!plugin) {
    return;
  }
  $("generation").textContent = String(plugin.generation);
  $("digest").textContent = plugin.digest?.replace("sha256:", "").slice(0, 12) ?? "none";
  $("digest").title = plugin.digest ?? "";
  $("swapped").textContent = plugin.generation > 1 ? `Swapped ${ago(plugin.secondsSinceLoaded)}` : `Started ${ago(plugin.secondsSinceLoaded)}`;
  $("swapped").classList.toggle("fresh", plugin.generation > 1 && plugin.secondsSinceLoaded < 10);
  $("refused").hidden = !plugin.lastError;
  $("refused").textContent = plugin.lastError ? `The file's newest version does not serve: ${plugin.lastError}` : "";
  if (plugin.halfWithinMicroseconds !== null) {
    $("call-time").textContent = `≤ ${plugin.halfWithinMicroseconds.toLocaleString("en")} µs`;
  }
}

function ago(seconds) {
  if (seconds === null) {
    return "never";
  }
  const [unit, count] = seconds < 60 ? ["s", seconds] : seconds < 3600 ? ["min", Math.floor(seconds / 60)] : ["h", Math.floor(seconds / 3600)];
  return `${count} ${unit} ago`;
}

/** Runs `action` when the form is sent, and shows what went wrong. */
function on(form, action) {
  $(form).addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(action);
  });
}

async function attempt(action) {
  try {
    await action();
    showProblem();
  } catch (error) {
    showProblem(error);
  }
}

async function open(room) {
  // What is said in the room may arrive before the answer to joining it.
  rooms.set(room, { lines: [], unread: 0 });
  try {
    await join(room);
  } catch (error) {
    rooms.delete(room);
    throw error;
  }
  show(room);
}

async function join(room) {
  const greeting = await connection.invoke("join", room, name);
  add(room, { news: greeting ?? `You are in ${room}` });
}

async function leave(room) {
  await connection.invoke("leave", room);
  rooms.delete(room);
  if (rooms.size > 0) {
    show(room === current ? [...rooms.keys()].at(-1) : current);
    return;
  }
  current = "";
  $("talk").hidden = true;
  $("enter").hidden = false;
  $("first-room").focus();
}

function show(room) {
  current = room;
  rooms.get(room).unread = 0;
  $("log").replaceChildren(...rooms.get(room).lines.map(line));
  $("log").scrollTop = $("log").scrollHeight;
  $("text").placeholder = `Say something in ${room}`;
  showRooms();
}

function add(room, entry) {
  const state = rooms.get(room);
  if (!state) {
    return;
  }
  state.lines.push(entry);
  if (state.lines.length > LONGEST_LOG) {
    state.lines.shift();
  }
  if (room !== current) {
    state.unread += 1;
    showRooms();
    return;
  }
  const log = $("log");
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  log.append(line(entry));
  if (log.childElementCount > LONGEST_LOG) {
    log.firstElementChild.remove();
  }
  if (atEnd || entry.who === name) {
    log.scrollTop = log.scrollHeight;
  }
}

function showRooms() {
  const tabs = [...rooms].map(([room, { unread }]) => {
    const tab = element("button", { type: "button", textContent: room });
    tab.addEventListener("click", () => show(room));
    if (room === current) {
      tab.setAttribute("aria-current", "true");
    }
    if (unread > 0) {
      const count = element("span", { className: "badge", textContent: String(unread) });
      count.append(element("span", { className: "unseen", textContent: " unread" }));
      tab.append(count);
    }
    const close = element("button", { type: "button", textContent: "×", title: `Leave ${room}`, ariaLabel: `Leave ${room}` });
    close.addEventListener("click", () => attempt(() => leave(room)));
    return element("span", { className: room === current ? "room current" : "room" }, tab, close);
  });
  $("rooms").replaceChildren(...tabs);
}

function line({ news, who, text }) {
  if (news !== undefined) {
    return element("li", { className: "news", textContent: news });
  }
  return element(
    "li",
    { className: who === name ? "message own" : "message" },
    element("span", { className: "who", textContent: who }),
    element("span", { className: "said", textContent: text }),
  );
}

function showProblem(error) {
  $("problem").hidden = !error;
  $("problem").textContent = error ? error.message : "";
}

/** What others wrote only ever becomes text, never markup. */
function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}
