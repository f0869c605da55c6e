import type { Payload } from "hubgate:plugin/types@0.1.0";

/** What there is room for before the client has taken some. */
export interface Room {
  readonly items: number;
  readonly bytes: number;
}

/** A stream to a client, or the answer that a call with uploads still waits for. What is done to it takes effect at once. */
export class Stream<Item = unknown> {
  private constructor();
  /** A stream that an earlier call has opened. */
  static fromId<Item = unknown>(id: string): Stream<Item>;
  /** The gateway's own, unique in the cluster: keep it in `state`, or in a timer's payload, to go on later. */
  readonly id: string;
  /** The ids of the streams that came with the call, in the order of its parameters. Empty but in the method that it opened. */
  readonly uploads: readonly string[];
  /** What there is room for; null before the first push. */
  readonly room: Room | null;
  /** Whether it is open, as far as what was done to it by this object has shown: false after a push that found it over. */
  readonly isOpen: boolean;
  /**
   * Sends an item; says whether it did. It does not where there is no room, and then `writable` comes once there is some; and
   * where the stream is over, and then nothing comes. Throws for an item that would never fit.
   */
  push(item: Item | Payload): boolean;
  /** Sends all of the items, in order, or none; says whether it did, as `push`. */
  pushAll(items: Iterable<Item | Payload>): boolean;
  /** Ends it, or answers the call without a value; says whether it was still open. */
  finish(): boolean;
  /** Answers the call that came with uploads; says whether it was still open. A stream of items has no such value. */
  answer(value: unknown): boolean;
  /** Ends it with an error that the client sees; says whether it was still open. */
  reject(text: string): boolean;
  /** Ends it with an error for the log, of which the client is told that it did not work; says whether it was still open. */
  fail(text: string): boolean;
}
