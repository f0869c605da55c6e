// Who is signed in: the token, kept for this tab alone, and what it is good for.

import { computed, signal } from "@preact/signals";
import { ApiError, read, request } from "./api";

const KEY = "hubgate-admin-token";

/** Empty when nobody is signed in. */
export const token = signal(sessionStorage.getItem(KEY) ?? "");

/** Why nothing can be changed, in the API's words; null where changes are allowed as far as is known. */
export const changesRefused = signal<string | null>(null);

/** Whether the token opens what is secret: access keys, and what messages carry. */
export const opensSecrets = signal(false);

/** Why the session ended, for the page that asks for a token. */
export const signedOutBecause = signal<string | null>(null);

/** Grows with each session, so that what belongs to an earlier one is not taken for this one's. */
export const session = signal(0);

export const isSignedIn = computed(() => token.value !== "");

/** Signs in if the gateway takes the token; throws in the API's words otherwise. */
export async function signIn(typed: string): Promise<void> {
  await read("admin/hubs", { token: typed });
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

/** The read token is told from the admin token by what it does not open. */
async function learn(typed: string): Promise<void> {
  try {
    const response = await request("GET", "admin/keys", { token: typed });
    // The keys themselves are of no interest here.
    await response.body?.cancel();
    opensSecrets.value = true;
    changesRefused.value = null;
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 403) {
      throw error;
    }
    opensSecrets.value = false;
    changesRefused.value = "You are signed in with the read token, which changes nothing.";
  }
}
