// The chat's page.

import { attempt, connect, element, make } from "./hubs.js";

const ROOMS = ["lobby", "kitchen", "garden"];
let room = null;

const connection = connect("chat", { said: show, peopleChanged: look }, () => room && enter(room));

/** History and what is said now may overlap: messages have numbers. */
function show({ number, name, text }) {
  const said = element("said");
  const before = [...said.children].findLast((item) => item.value <= number);
  if (before?.value === number) return;
  const item = make("li", { value: number }, make("strong", { textContent: name }), text);
  if (before) before.after(item);
  else said.prepend(item);
  said.scrollTop = said.scrollHeight;
}

async function look() {
  const names = await connection.invoke("People");
  element("people").textContent = `Here: ${names.sort().join(", ")}`;
}

async function enter(name) {
  await connection.invoke("Join", name, element("name").value);
  room = name;
  element("said").replaceChildren();
  element("enter").hidden = true;
  element("room").hidden = false;
  element("text").focus();
  for (const button of element("rooms").children) button.setAttribute("aria-pressed", String(button.textContent === room));
  await new Promise((complete, error) => connection.stream("History").subscribe({ next: show, complete, error }));
}

for (const name of ROOMS) {
  const button = make("button", { type: "button", textContent: name });
  button.addEventListener("click", () => attempt(() => enter(name)));
  element("rooms").append(button);
}
element("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(() => enter(ROOMS[0]));
});
element("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = element("text").value;
  element("text").value = "";
  attempt(() => connection.invoke("Say", text));
});
