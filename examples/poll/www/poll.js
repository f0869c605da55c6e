// The poll's page, on the unmodified npm client, which index.html loads before this.

/** How often the page asks which language answers. */
const ASK_EVERY = 1_000;
const LONGEST_DELAY = 5_000;
const delay = (failures) => Math.min(250 * 2 ** failures, LONGEST_DELAY);

const element = (id) => document.getElementById(id);
const rows = new Map();
let own = null;

function showCounts(counts) {
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  for (const [choice, row] of rows) {
    if (choice in counts) continue;
    row.item.remove();
    rows.delete(choice);
  }
  for (const [choice, count] of Object.entries(counts)) {
    const row = rows.get(choice) ?? newRow(choice);
    row.count.textContent = total === 0 ? `${count}` : `${count} · ${Math.round((100 * count) / total)} %`;
    row.bar.max = Math.max(total, 1);
    row.bar.value = count;
    element("choices").append(row.item);
  }
  element("total").textContent = total === 1 ? "1 vote" : `${total} votes`;
}

function newRow(choice) {
  const [item, button, bar, name, count] = ["li", "button", "progress", "span", "span"].map((tag) => document.createElement(tag));
  name.textContent = choice;
  bar.setAttribute("aria-hidden", "true");
  button.type = "button";
  button.append(bar, name, count);
  button.addEventListener("click", () => vote(choice));
  item.append(button);
  const row = { item, button, bar, count };
  rows.set(choice, row);
  return row;
}

function showOwn() {
  for (const [choice, { button }] of rows) {
    button.setAttribute("aria-pressed", String(choice === own));
    button.setAttribute("aria-disabled", String(own !== null));
  }
}

function showProblem(text) {
  element("problem").textContent = text;
  element("problem").hidden = text === "";
}

function showState(state, text) {
  element("status").dataset.state = state;
  element("status").textContent = text;
}

function showLanguage(language) {
  const history = element("history");
  if (history.lastElementChild?.textContent === language) return;
  element("language").textContent = language;
  history.append(Object.assign(document.createElement("li"), { textContent: language }));
  history.hidden = history.children.length < 2;
}

/** An error's own words: the client puts some of its own before them. */
const words = (error) => error.message.replace(/^.*HubException: /, "");

async function vote(choice) {
  showProblem("");
  try {
    showCounts(await connection.invoke("vote", choice));
    own = choice;
    showOwn();
  } catch (error) {
    showProblem(words(error));
  }
}

async function look() {
  try {
    const [counts, language] = await Promise.all([connection.invoke("counts"), connection.invoke("language")]);
    showCounts(counts);
    showOwn();
    showLanguage(language);
  } catch (error) {
    // A connection that was lost comes back by itself.
    if (connection.state === "Connected") showProblem(words(error));
  }
}

function connected() {
  showState("connected", "Connected");
  showProblem("");
  return look();
}

async function start(failures = 0) {
  try {
    await connection.start();
    await connected();
  } catch {
    showState("connecting", "The gateway does not answer yet…");
    setTimeout(() => start(failures + 1), delay(failures));
  }
}

function build() {
  if (!window.signalR) {
    showState("closed", "Not connected");
    showProblem("The npm client is not here: run npm ci --prefix examples/poll/www, and reload.");
    return null;
  }
  const connection = new signalR.HubConnectionBuilder()
    .withUrl("/hubs/poll")
    .withAutomaticReconnect({ nextRetryDelayInMilliseconds: ({ previousRetryCount }) => delay(previousRetryCount) })
    .build();
  connection.on("counts", showCounts);
  connection.onreconnecting(() => showState("connecting", "Connecting…"));
  connection.onreconnected(connected);
  connection.onclose(() => showState("closed", "Not connected"));
  return connection;
}

const connection = build();
if (connection !== null) {
  start();
  setInterval(() => connection.state === "Connected" && look(), ASK_EVERY);
}
