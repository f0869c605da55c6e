// What is known of the call that runs. A script's top level runs once, when the component is built: no import answers there.

let isServing = false;
const microtasks = [];
const atBegin = [];

/** Whether imports answer: in `init` and in calls. */
export const serves = () => isServing;

/** Runs `work` when the instance is first called, or at once if it was. */
export function whenServing(work) {
  isServing ? work() : atBegin.push(work);
}

export function begin() {
  if (isServing) return;
  isServing = true;
  for (const work of atBegin.splice(0)) work();
}

/** Runs what was queued. The engine's own jobs, those of promises, never run: a call is over when its function returns. */
export function runMicrotasks() {
  for (let task = microtasks.shift(); task !== undefined; task = microtasks.shift()) task();
}

export function forgetMicrotasks() {
  microtasks.length = 0;
}

globalThis.queueMicrotask = function queueMicrotask(task) {
  if (typeof task !== "function") throw new TypeError("queueMicrotask needs a function");
  microtasks.push(task);
};
