import { useEffect, useRef, useState } from "preact/hooks";
import { ErrorText, useAction } from "../parts/pieces";
import { signIn, signedOutBecause } from "../session";

export function SignIn() {
  const [typed, setTyped] = useState("");
  const { isBusy, error, run } = useAction();
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus(), []);
  const submit = (event: Event) => {
    event.preventDefault();
    void run(() => signIn(typed.trim()));
  };
  return (
    <main class="sign-in">
      <form class="card" onSubmit={submit}>
        <h1>
          Hubgate <span class="quiet">console</span>
        </h1>
        <label class="field">
          Admin token
          <input
            ref={field}
            type="password"
            required
            autocomplete="current-password"
            spellcheck={false}
            value={typed}
            aria-describedby="token-help"
            onInput={(event) => setTyped(event.currentTarget.value)}
          />
        </label>
        <p id="token-help" class="quiet">
          It is in the file that <code>admin.token-file</code> names or, without one, in the ready file. With the read token you can look at
          everything except access keys, plugin logs and the arguments of traced calls, and change nothing. The token stays in this tab until you sign out or close it.
        </p>
        <ErrorText>{error ?? signedOutBecause.value}</ErrorText>
        <button type="submit" class="primary" disabled={isBusy}>
          {isBusy ? "Signing in…" : "Sign in"}
        </button>
      </form>
    </main>
  );
}
