export interface TimerOptions {
  /** Kept as `state` is. Others last as long as the gateway runs, over swaps too, and write nothing: use them for fast ticks. */
  durable?: boolean;
}

export type Timer = ({ after: number } | { at: number } | { every: number }) & {
  name: string;
  /** When it fires next, in milliseconds since 1970. */
  due: number;
  payload: any;
  durable: boolean;
};

/** Once, so many milliseconds from now. A timer takes the place of the one with its name; its payload is a value of JSON. */
export function after(name: string, ms: number, payload?: unknown, options?: TimerOptions): void;
/** Once, at a time in milliseconds since 1970, as `context.now()` has it. */
export function at(name: string, time: number | Date, payload?: unknown, options?: TimerOptions): void;
/** Again and again, with so many milliseconds between; missed times count once. */
export function every(name: string, ms: number, payload?: unknown, options?: TimerOptions): void;
/** Takes a timer back; says whether there was one. */
export function cancel(name: string): boolean;
/** Timers by name, at most `limit` (1,000): those after `after`. */
export function list(after?: string | null, limit?: number): Timer[];
