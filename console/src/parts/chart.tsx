// Lines over time, drawn by uPlot; what they show is also said in words.

import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { time as clockTime } from "../format";

export interface Line {
  label: string;
  values: (number | null)[];
  /** A CSS variable with its colour. */
  color: string;
}

interface Props {
  title: string;
  /** In seconds since 1970. */
  times: number[];
  lines: Line[];
  show: (value: number) => string;
  /** Ticks are to be whole KiB and MiB. */
  isBytes?: boolean;
  /** How far up the chart goes at least. */
  least?: number;
}

const HEIGHT = 150;
const LEAST_SPAN = 60;
/** Powers of two. */
const STEPS_OF_BYTES = Array.from({ length: 50 }, (_, exponent) => 2 ** exponent);

/** Grows when the system changes between light and dark: what is drawn has colours of its own. */
const scheme = signal(0);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  scheme.value += 1;
});

export function Chart({ title, times, lines, show, isBytes = false, least = 1 }: Props) {
  const holder = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [at, setAt] = useState<number | null>(null);
  const drawnWith = scheme.value;
  const labels = lines.map(({ label }) => label).join();

  useEffect(() => {
    const element = holder.current!;
    const drawn = new uPlot(options(element.clientWidth, lines, show, isBytes, least, setAt), dataOf(times, lines), element);
    plot.current = drawn;
    const watch = new ResizeObserver(() => drawn.setSize({ width: element.clientWidth, height: HEIGHT }));
    watch.observe(element);
    return () => {
      watch.disconnect();
      drawn.destroy();
    };
  }, [drawnWith, labels]);
  useEffect(() => plot.current?.setData(dataOf(times, lines)), [times, lines]);

  const shown = (at === null ? undefined : at) ?? times.length - 1;
  const read = (line: Line) => {
    const value = line.values[shown];
    return value === null || value === undefined ? "–" : show(value);
  };
  const said = lines.map((line) => `${line.label} ${read(line)}`).join(", ");
  const time = at !== null && times[at] !== undefined ? clockTime(times[at] * 1000) : "now";
  return (
    <figure class="chart">
      <figcaption>
        <span class="chart-title">{title}</span>
        <span class="legend" aria-hidden="true">
          {lines.map((line, index) => (
            <span key={line.label}>
              <i class={`swatch swatch-${index}`} />
              {line.label} <b>{read(line)}</b>
            </span>
          ))}
          <span class="legend-time">{time}</span>
        </span>
      </figcaption>
      <div class="plot" ref={holder} role="img" aria-label={`${title}: ${said}`} />
    </figure>
  );
}

function dataOf(times: number[], lines: Line[]): uPlot.AlignedData {
  return [times, ...lines.map(({ values }) => values)] as uPlot.AlignedData;
}

function options(width: number, lines: Line[], show: (value: number) => string, isBytes: boolean, least: number, setAt: (at: number | null) => void): uPlot.Options {
  const style = getComputedStyle(document.documentElement);
  const color = (name: string) => style.getPropertyValue(name).trim();
  const font = "11px system-ui, sans-serif";
  const axis = { stroke: color("--muted"), font, ticks: { show: false } };
  const grid = { stroke: color("--line"), width: 1 };
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
    scales: {
      x: { time: true, range: (_, least, most) => span(least, most) },
      y: { range: (_, __, most) => [0, Math.max(least, (most ?? 0) * 1.1)] },
    },
    axes: [
      { ...axis, grid: { show: false }, size: 24, space: 70, values: (_, ticks) => ticks.map(tickTime) },
      { ...axis, grid, size: 58, space: 34, values: (_, ticks) => ticks.map(show), incrs: isBytes ? STEPS_OF_BYTES : undefined },
    ],
    series: [
      {},
      ...lines.map((line, index) => ({
        label: line.label,
        stroke: color(line.color),
        width: 1.75,
        fill: index === 0 ? `${color(line.color)}1f` : undefined,
        // A line needs two values.
        points: { size: 5, show: (drawn: uPlot) => Array.from<number | null | undefined>(drawn.data[index + 1]!).filter((value) => value != null).length < 3 },
      })),
    ],
    hooks: { setCursor: [(drawn) => setAt(drawn.cursor.idx ?? null)] },
  };
}

/** What the time axis shows: a minute at least, until now where nothing is known yet. */
function span(least: number | null, most: number | null): [number, number] {
  const end = most ?? Date.now() / 1000;
  return [Math.min(least ?? end, end - LEAST_SPAN), end];
}

function tickTime(at: number): string {
  return new Date(at * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", second: at % 60 ? "2-digit" : undefined });
}
