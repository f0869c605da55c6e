// Calls a method of clients, for looking and trying.

import { useState } from "preact/hooks";
import { change, segment } from "../api";
import { plural } from "../format";
import { Dialog } from "./dialog";
import { ErrorText, notice, useAction } from "./pieces";

type To = "all" | { user: string } | { group: string } | { connection: string };

interface Props {
  hub: string;
  /** To this one; otherwise whoever sends chooses. */
  connection?: string;
  onClose: () => void;
}

const KINDS = [
  ["all", "All clients"],
  ["user", "A user"],
  ["group", "A group"],
] as const;

export function Send({ hub, connection, onClose }: Props) {
  const [kind, setKind] = useState<(typeof KINDS)[number][0]>("all");
  const [name, setName] = useState("");
  const [method, setMethod] = useState("");
  const [typed, setTyped] = useState("[]");
  const { isBusy, error, run } = useAction();
  const submit = (event: Event) => {
    event.preventDefault();
    void run(async () => {
      const to: To = connection !== undefined ? { connection } : kind === "all" ? "all" : kind === "user" ? { user: name } : { group: name };
      const body = { to, method: method.trim(), arguments: argumentsOf(typed) };
      const { recipients } = await change<{ recipients: number }>("POST", `admin/hubs/${segment(hub)}/send`, body);
      notice.value = `Sent to ${plural(recipients, "connection")}.`;
      onClose();
    });
  };
  return (
    <Dialog title={connection === undefined ? `Send to clients of ${hub}` : "Send to this connection"} onClose={onClose} isBusy={isBusy}>
      <form onSubmit={submit}>
        {connection !== undefined ? (
          <p>
            <code>{connection}</code> of hub {hub}
          </p>
        ) : (
          <div class="pair">
            <label class="field">
              To
              <select value={kind} onChange={(event) => setKind(event.currentTarget.value as typeof kind)}>
                {KINDS.map(([value, title]) => (
                  <option key={value} value={value}>
                    {title}
                  </option>
                ))}
              </select>
            </label>
            {kind !== "all" && (
              <label class="field">
                {kind === "user" ? "User" : "Group"}
                <input required autocomplete="off" autocapitalize="off" spellcheck={false} value={name} onInput={(event) => setName(event.currentTarget.value)} />
              </label>
            )}
          </div>
        )}
        <label class="field">
          Method
          <input required autocomplete="off" autocapitalize="off" spellcheck={false} value={method} onInput={(event) => setMethod(event.currentTarget.value)} />
        </label>
        <label class="field">
          Arguments, as a JSON array
          <textarea rows={4} spellcheck={false} value={typed} onInput={(event) => setTyped(event.currentTarget.value)} />
        </label>
        <ErrorText>{error}</ErrorText>
        <div class="buttons">
          <button type="button" disabled={isBusy} onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="primary" disabled={isBusy}>
            {isBusy ? "Sending…" : "Send"}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** Arguments as they are typed. */
export function argumentsOf(typed: string): unknown[] {
  let read: unknown;
  try {
    read = JSON.parse(typed);
  } catch {
    read = undefined;
  }
  if (!Array.isArray(read)) {
    throw new Error('The arguments are not a JSON array, such as ["hello", 1].');
  }
  return read;
}
