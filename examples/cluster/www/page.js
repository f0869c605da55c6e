// A room that all windows are in, and on which gateway this one is.

import { connect } from "./connection.js";

const ROOM = "lobby";
const NAMES = ["Badger", "Curlew", "Dormouse", "Egret", "Finch", "Heron", "Ibex", "Lynx", "Marten", "Otter", "Puffin", "Wren"];
const STATES = { connecting: "Connecting…", connected: "Connected", reconnecting: "Reconnecting…", closed: "Disconnected" };

const $ = (id) => document.getElementById(id);
const name = `${NAMES[Math.floor(Math.random() * NAMES.length)]} ${Math.floor(Math.random() * 90) + 10}`;
const nodes = [];
$("name").textContent = name;

const connection = connect("hubs/chat", {
  state(state) {
    $("status").dataset.state = state;
    $("status").textContent = STATES[state];
    $("say").querySelector("button").disabled = state !== "connected";
    if (state === "connected") {
      showNode();
    }
  },
  async connected() {
    add("news", await connection.invoke("join", ROOM, name));
  },
  events: {
    said: (_, who, text) => add("message", `${who}: ${text}`),
    joined: (_, who) => add("news", `${who} has joined`),
    left: (_, who) => add("news", `${who} has left`),
  },
});

$("say").addEventListener("submit", async (event) => {
  event.preventDefault();
  await connection.invoke("say", ROOM, $("text").value);
  $("text").value = "";
});

/** nginx tells it in a cookie with the answer that opens the WebSocket; where it had to try more than one gateway, the last has it. */
function showNode() {
  const cookie = document.cookie.split("; ").find((each) => each.startsWith("node="));
  const node = cookie?.slice("node=".length).split(", ").at(-1) ?? "unknown";
  nodes.push(node.split(":").at(-1));
  $("node").textContent = node;
  $("nodes").textContent = nodes.join(", then ");
}

/** What others wrote only ever becomes text, never markup. */
function add(kind, text) {
  $("log").append(Object.assign(document.createElement("li"), { className: kind, textContent: text }));
  $("log").scrollTop = $("log").scrollHeight;
}
