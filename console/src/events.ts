// Server-sent events as `fetch` reads them: `EventSource` sends no `Authorization`.

/** The most of one event, in characters. */
export const LONGEST_EVENT = 4_000_000;

export interface ServerEvent {
  type: string;
  data: string;
}

/**
 * Cuts a stream into its events. Each call takes the next piece of it, and gives the events that are whole by then; a comment is nothing.
 * An event that is longer than LONGEST_EVENT is an error.
 */
export function reader(): (piece: string) => ServerEvent[] {
  let rest = "";
  let type = "";
  let data: string[] = [];
  let length = 0;
  return (piece) => {
    const found: ServerEvent[] = [];
    const lines = (rest + piece).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop()!;
    for (const line of lines) {
      if (line === "") {
        if (data.length) {
          found.push({ type: type || "message", data: data.join("\n") });
        }
        [type, data, length] = ["", [], 0];
        continue;
      }
      const [, field, value = ""] = /^([^:]*)(?:: ?([^]*))?$/.exec(line)!;
      if (field === "data") {
        data.push(value);
        length += value.length;
      } else if (field === "event") {
        type = value;
      }
    }
    if (rest.length + length > LONGEST_EVENT) {
      throw new Error("The gateway has sent an event that is too long.");
    }
    return found;
  };
}

/**
 * Reads a stream of events until it ends, or `signal` ends it. Nothing at all for `patience` milliseconds, where comments count, is an
 * error.
 */
export async function follow(response: Response, signal: AbortSignal, patience: number, take: (event: ServerEvent) => void): Promise<void> {
  const pieces = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  const cut = reader();
  const stop = () => void pieces.cancel().catch(() => undefined);
  signal.addEventListener("abort", stop);
  let isLate = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const wait = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      isLate = true;
      stop();
    }, patience);
  };
  try {
    wait();
    for (let read = await pieces.read(); !read.done; read = await pieces.read()) {
      wait();
      cut(read.value).forEach(take);
    }
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
    stop();
  }
  if (isLate) {
    throw new Error("The gateway has said nothing for too long.");
  }
}
