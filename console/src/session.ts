// Who is signed in: the token, kept for this tab alone, and what it is good for.

import { batch, computed, signal } from "@preact/signals";
import { read } from "./api";
import type { Session } from "./types";

const KEY = "hubgate-admin-token";

/** Empty when nobody is signed in. */
export const token = signal(sessionStorage.getItem(KEY) ?? "");

/** Why nothing can be changed, in the API's words; null where changes are allowed as far as is known. */
export const changesRefused = signal<string | null>(null);

/** Whether the token opens what is secret: access keys, and what messages carry. */
export const opensSecrets = signal(false);

/** That of the gateway; empty until it is known. */
export const version = signal("");

/** Why the session ended, for the page that asks for a token. */
export const signedOutBecause = signal<string | null>(null);

/** Grows with each session, so that what belongs to an earlier one is not taken for this one's. */
export const session = signal(0);

export const isSignedIn = computed(() => token.value !== "");

/** Signs in if the gateway takes the token; throws in the API's words otherwise. */
export async function signIn(typed: string): Promise<void> {
  await learn(typed);
  signedOutBecause.value = null;
  sessionStorage.setItem(KEY, typed);
  session.value += 1;
  token.value = typed;
}

export function signOut(why: string | null): void {
  sessionStorage.removeItem(KEY);
  signedOutBecause.value = why;
  changesRefused.value = null;
  session.value += 1;
  token.value = "";
}

/** After the page was loaded again. */
export async function resume(): Promise<void> {
  if (token.value !== "") {
    await learn(token.value).catch(() => undefined);
  }
}

async function learn(typed: string): Promise<void> {
  const { token: kind, readOnly, version: told } = await read<Session>("admin/session", { token: typed });
  batch(() => {
    opensSecrets.value = kind === "admin";
    version.value = told;
    changesRefused.value =
      kind !== "admin"
        ? "You are signed in with the read token, which changes nothing."
        : readOnly
          ? "The configuration has admin.read-only = true, so that nothing is changed here."
          : null;
  });
}
