// The market's page.

import { attempt, connect, element, make } from "./hubs.js";

const LATELY = 60;
const SVG = "http://www.w3.org/2000/svg";
const rows = new Map();

const handlers = { marketOpened: opened, marketClosed: () => showMarket("Closed"), marketReset: look };
const connection = connect("ticker", handlers, async () => {
  await look();
  if ((await connection.invoke("GetMarketState")) === "Open") opened();
  else showMarket("Closed");
});

function opened() {
  showMarket("Open");
  connection.stream("StreamStocks").subscribe({ next: show, complete() {}, error() {} });
}

function showMarket(state) {
  element("market").textContent = state === "Open" ? "The market is open" : "The market is closed";
  element("open").disabled = state === "Open";
  element("close").disabled = element("reset").disabled = false;
  if (state === "Open") element("reset").disabled = true;
  else element("close").disabled = true;
}

async function look() {
  rows.clear();
  element("stocks").replaceChildren();
  (await connection.invoke("GetAllStocks")).forEach(show);
}

function show({ symbol, price, change, dayLow, dayHigh }) {
  const row = rows.get(symbol) ?? newRow(symbol);
  row.price.textContent = price.toFixed(2);
  row.change.textContent = change === 0 ? "0.00" : `${change > 0 ? "▲" : "▼"} ${Math.abs(change).toFixed(2)}`;
  row.change.className = change > 0 ? "up" : change < 0 ? "down" : "";
  row.low.textContent = dayLow.toFixed(2);
  row.high.textContent = dayHigh.toFixed(2);
  row.prices.push(price);
  if (row.prices.length > LATELY) row.prices.shift();
  const [low, high] = [Math.min(...row.prices), Math.max(...row.prices)];
  const y = (value) => (high === low ? 14 : 26 - ((value - low) / (high - low)) * 24);
  const points = row.prices.map((value, index) => `${(index * 100) / (LATELY - 1)},${y(value)}`);
  row.line.setAttribute("points", points.join(" "));
}

function newRow(symbol) {
  const [price, change, low, high, lately] = Array.from({ length: 5 }, () => make("td"));
  const graph = document.createElementNS(SVG, "svg");
  const line = document.createElementNS(SVG, "polyline");
  graph.setAttribute("viewBox", "0 0 100 28");
  graph.setAttribute("preserveAspectRatio", "none");
  graph.setAttribute("aria-hidden", "true");
  graph.append(line);
  lately.append(graph);
  element("stocks").append(make("tr", {}, make("th", { scope: "row", textContent: symbol }), price, change, low, high, lately));
  const row = { price, change, low, high, line, prices: [] };
  rows.set(symbol, row);
  return row;
}

for (const [id, method] of [["open", "OpenMarket"], ["close", "CloseMarket"], ["reset", "Reset"]]) {
  element(id).addEventListener("click", () => attempt(() => connection.invoke(method)));
}
