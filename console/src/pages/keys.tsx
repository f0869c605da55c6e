import { useState } from "preact/hooks";
import { change, read } from "../api";
import { Dialog } from "../parts/dialog";
import { ChangeButton, ErrorText, Heading, notice, useAction } from "../parts/pieces";
import type { Key } from "../types";

const PLACES = [
  ["primary", "Primary", "Signs the gateway's own tokens, and gives access."],
  ["secondary", "Secondary", "Gives access, too: applications use it while the primary key is replaced."],
] as const;

export function Keys() {
  return (
    <>
      <Heading>Keys</Heading>
      <p class="lead">
        A connection string lets an application act as a hub server, send to everybody and make tokens for users. To replace a key without an
        interruption, move applications to the other one first.
      </p>
      {PLACES.map(([place, title, what]) => (
        <KeyCard key={place} place={place} title={title} what={what} />
      ))}
    </>
  );
}

interface CardProps {
  place: Key["key"];
  title: string;
  what: string;
}

function KeyCard({ place, title, what }: CardProps) {
  const [shown, setShown] = useState<string | null>(null);
  const [isAsking, setAsking] = useState(false);
  const { isBusy, error, run } = useAction();
  const show = () =>
    run(async () => {
      const { keys } = await read<{ keys: Key[] }>("admin/keys");
      const found = keys.find(({ key }) => key === place);
      if (!found) {
        throw new Error(`The configuration has no ${place} key.`);
      }
      setShown(found.connectionString);
    });
  return (
    <section class="card" aria-label={`${title} key`}>
      <header class="card-head">
        <h2>{title}</h2>
        <div class="actions">
          <ChangeButton onClick={() => setAsking(true)}>Regenerate…</ChangeButton>
        </div>
      </header>
      <p class="quiet">{what}</p>
      <div class="secret">
        {shown === null ? <span class="hidden-secret">Connection string hidden</span> : <code class="string">{shown}</code>}
        <div class="actions">
          {shown !== null && navigator.clipboard && <Copy text={shown} />}
          <button type="button" disabled={isBusy} aria-expanded={shown !== null} onClick={shown === null ? show : () => setShown(null)}>
            {shown === null ? "Show" : "Hide"}
          </button>
        </div>
      </div>
      <ErrorText>{error}</ErrorText>
      {isAsking && (
        <Regenerate
          place={place}
          onClose={() => setAsking(false)}
          onDone={(key) => {
            // Whoever had the old one on the screen wants the new one.
            setShown((before) => before && key.connectionString);
          }}
        />
      )}
    </section>
  );
}

function Copy({ text }: { text: string }) {
  const [said, setSaid] = useState("Copy");
  const copy = () => navigator.clipboard.writeText(text).then(
    () => {
      setSaid("Copied");
      notice.value = "The connection string was copied.";
    },
    () => setSaid("Could not copy"),
  );
  return (
    <button type="button" onClick={copy}>
      {said}
    </button>
  );
}

function Regenerate({ place, onClose, onDone }: { place: Key["key"]; onClose: () => void; onDone: (key: Key) => void }) {
  const [isSure, setSure] = useState(false);
  const { isBusy, error, run } = useAction();
  const submit = (event: Event) => {
    event.preventDefault();
    void run(async () => {
      onDone(await change<Key>("POST", `admin/keys/${place}:regenerate`));
      notice.value = `The ${place} key was regenerated.`;
      onClose();
    });
  };
  return (
    <Dialog title={`Regenerate the ${place} key?`} onClose={onClose} isBusy={isBusy}>
      <form onSubmit={submit}>
        <p>
          The present {place} key stops working at once: hub servers and REST callers that use it are refused, and so are clients with tokens that it
          signed. Those who are connected stay.
        </p>
        <label class="check">
          <input type="checkbox" required checked={isSure} onChange={(event) => setSure(event.currentTarget.checked)} />
          Nothing needs the present {place} key any more.
        </label>
        <ErrorText>{error}</ErrorText>
        <div class="buttons">
          <button type="button" disabled={isBusy} onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="danger" disabled={isBusy}>
            {isBusy ? "Regenerating…" : "Regenerate"}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
