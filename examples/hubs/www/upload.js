// The uploads' page.

import { attempt, connect, element, make } from "./hubs.js";

const PIECE = 48 * 1024;
const rows = new Map();

const connection = connect("upload", { progress: showProgress }, () => {});

function showProgress(id, bytes) {
  const row = rows.get(id);
  row.bar.value = bytes;
  row.note.textContent = `${Math.floor((100 * bytes) / row.bar.max)} %`;
}

function newRow(file) {
  const id = `${rows.size}`;
  const note = make("span", { textContent: "0 %" });
  const bar = make("progress", { max: Math.max(file.size, 1), value: 0, ariaLabel: file.name });
  element("uploads").prepend(make("li", {}, make("div", { className: "row" }, make("span", { textContent: file.name }), note), bar));
  rows.set(id, { bar, note });
  return id;
}

async function upload(file) {
  const id = newRow(file);
  const pieces = new signalR.Subject();
  const arrived = connection.invoke("UploadFile", id, pieces);
  const { note } = rows.get(id);
  arrived.then((bytes) => (note.textContent = `${bytes.toLocaleString("en")} bytes arrived`), (error) => (note.textContent = error.message));
  await send(file, pieces);
  await arrived;
}

async function send(file, pieces) {
  for (let from = 0; from < file.size; from += PIECE) {
    const bytes = new Uint8Array(await file.slice(from, from + PIECE).arrayBuffer());
    pieces.next(btoa(String.fromCharCode(...bytes)));
  }
  pieces.complete();
}

const uploadAll = (files) => attempt(() => Promise.all([...files].map(upload)));
const drop = element("drop");
element("files").addEventListener("change", (event) => {
  uploadAll(event.target.files);
});
for (const [kind, isOver] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
  drop.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", isOver);
    if (kind === "drop") uploadAll(event.dataTransfer.files);
  });
}
