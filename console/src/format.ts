// Numbers, sizes and times as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const moment = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

export function count(value: number): string {
  return whole.format(value);
}

/** A number a second. */
export function rate(value: number): string {
  return value < 10 ? tenths.format(value) : whole.format(value);
}

export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? whole.format(value) : tenths.format(value)} ${units[unit]}`;
}

/** A short time, as those of calls. */
export function seconds(value: number): string {
  if (value < 0.001) {
    return `${tenths.format(value * 1e6)}\u00a0µs`;
  }
  return value < 1 ? `${tenths.format(value * 1e3)}\u00a0ms` : `${tenths.format(value)}\u00a0s`;
}

/** How long ago something was. */
export function ago(at: string, now: number): string {
  const passed = Math.max(0, (now - Date.parse(at)) / 1000);
  return Number.isNaN(passed) ? "" : `${duration(passed)} ago`;
}

export function duration(passed: number): string {
  if (passed < 60) {
    return `${Math.floor(passed)} s`;
  }
  if (passed < 3600) {
    return `${Math.floor(passed / 60)} min`;
  }
  return passed < 86_400 ? `${Math.floor(passed / 3600)} h` : plural(Math.floor(passed / 86_400), "day");
}

/** A moment on the clock of whoever looks. */
export function clock(at: string | number): string {
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? String(at) : moment.format(date);
}

/** The time of a moment on that clock. */
export function time(at: number): string {
  return new Date(at).toLocaleTimeString("en-GB");
}

export function plural(number: number, one: string, many = `${one}s`): string {
  return `${count(number)} ${number === 1 ? one : many}`;
}

export function shortDigest(digest: string): string {
  return digest.replace(/^sha256:/, "").slice(0, 12);
}
