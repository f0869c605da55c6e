// The shape's page. Places are thousandths of the board.

import { connect, element } from "./hubs.js";

const BIGGEST = { x: 820, y: 712 };
const STEP = 20;
const ARROWS = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
const [board, piece] = [element("board"), element("piece")];
const place = { x: 400, y: 350 };
const counts = { sent: 0, received: 0 };
let waits = false;

const connection = connect("shape", { shapeMoved: moved }, () => showCounts());

function moved(x, y) {
  counts.received += 1;
  put(x, y);
  showCounts();
}

function put(x, y) {
  place.x = Math.min(Math.max(Math.round(x), 0), BIGGEST.x);
  place.y = Math.min(Math.max(Math.round(y), 0), BIGGEST.y);
  piece.style.left = `${place.x / 10}%`;
  piece.style.top = `${place.y / 10}%`;
}

/** Moves within a frame become one: the others are told where it is then. */
function move(x, y) {
  put(x, y);
  if (waits) return;
  waits = true;
  requestAnimationFrame(() => {
    waits = false;
    if (connection.state !== "Connected") return;
    connection.send("MoveShape", place.x, place.y);
    counts.sent += 1;
    showCounts();
  });
}

function showCounts() {
  element("counts").textContent = `${counts.sent} moves sent, ${counts.received} received`;
}

piece.addEventListener("pointerdown", (event) => {
  piece.setPointerCapture(event.pointerId);
  const { left, top } = piece.getBoundingClientRect();
  const grip = { x: event.clientX - left, y: event.clientY - top };
  const drag = (event) => {
    const { left, top, width, height } = board.getBoundingClientRect();
    move(((event.clientX - grip.x - left) * 1000) / width, ((event.clientY - grip.y - top) * 1000) / height);
  };
  piece.addEventListener("pointermove", drag);
  piece.addEventListener("lostpointercapture", () => piece.removeEventListener("pointermove", drag), { once: true });
});
piece.addEventListener("keydown", (event) => {
  const step = ARROWS[event.key];
  if (step === undefined) return;
  event.preventDefault();
  move(place.x + step[0], place.y + step[1]);
});
