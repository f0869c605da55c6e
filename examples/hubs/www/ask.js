// The page of windows that ask each other.

import { attempt, connect, element, make } from "./hubs.js";

const LOOK_EVERY = 1_000;
const short = (id) => id.slice(0, 4);
let shown = "";

const connection = connect("ask", { getMessage }, () => {
  element("own").textContent = short(connection.connectionId);
  return look();
});

async function look() {
  const others = (await connection.invoke("Everybody")).filter((id) => id !== connection.connectionId).sort();
  element("nobody").hidden = others.length > 0;
  // Buttons that stay keep their focus.
  if (shown === others.join()) return;
  shown = others.join();
  element("others").replaceChildren(...others.map((id) => {
    const button = make("button", { type: "button" }, make("strong", { textContent: `Ask ${short(id)}` }), make("span", { textContent: "and wait for its answer" }));
    button.addEventListener("click", () => attempt(() => waitFor(id)));
    return make("li", {}, button);
  }));
}

async function waitFor(id) {
  const line = make("li", { textContent: `${short(id)} is asked…` });
  element("answers").prepend(line);
  try {
    line.textContent = `${short(id)} says: ${await connection.invoke("WaitForMessage", id)}`;
  } catch (error) {
    line.textContent = `${short(id)} has not answered`;
    throw error;
  }
}

/** Called by the hub, which waits for what this gives. */
function getMessage(asker) {
  const form = element("answer");
  element("asker").textContent = `Window ${short(asker)} waits for a message of yours`;
  form.hidden = false;
  element("message").focus();
  return new Promise((answered) => {
    form.onsubmit = (event) => {
      event.preventDefault();
      answered(element("message").value);
      form.hidden = true;
      form.reset();
    };
  });
}

setInterval(() => connection.state === "Connected" && look().catch(() => {}), LOOK_EVERY);
