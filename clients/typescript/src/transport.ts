// What every transport does: open one connection, hand over what comes, and say how it ended.

import type { Environment, HubError, Update } from "./types.js";

/** What one connection is opened with. */
export interface Attempt {
  readonly url: URL;
  readonly topics: readonly string[];
  readonly patterns: readonly string[];
  readonly cursor: string | null;
  readonly token: string | null;
  readonly credentials: RequestCredentials;
  readonly silenceMs: number;
  /** Whether each update keeps what was sent. */
  readonly wire: boolean;
  readonly environment: Environment;
}

/** How a connection ended. */
export type Ending =
  /** It was cut, or never came about. */
  | { readonly kind: "lost" }
  /** The hub said no. */
  | { readonly kind: "refused"; readonly error: HubError }
  /** This transport does not exist in this browser, or not on this hub. */
  | { readonly kind: "unfit" };

/** Who is told what comes. Nothing is told after the end, nor after the connection was closed. */
export interface Receiver {
  /** The hub answered: `answered` is the cursor that it begins after. */
  opened(answered: string | null): void;
  update(update: Update): void;
  /** The place to resume from moved without an update. */
  cursor(id: string): void;
  /** How long the hub asks to wait before connecting again. */
  retry(ms: number): void;
  ended(ending: Ending): void;
}

/** Opens a connection; what it returns closes it. */
export type Transport = (attempt: Attempt, receiver: Receiver) => () => void;

/** Returns the address of a subscription. */
export function subscriptionUrl(attempt: Attempt): URL {
  const url = new URL(attempt.url);
  for (const topic of attempt.topics) url.searchParams.append("match", topic);
  for (const pattern of attempt.patterns) url.searchParams.append("match_urlpattern", pattern);
  return url;
}

/** Returns the header fields of a request, and puts a cursor that no field can carry into `url`. */
export function requestHeaders(attempt: Attempt, url: URL, accept: string): Record<string, string> {
  const headers: Record<string, string> = { Accept: accept };
  if (attempt.token !== null) headers["Authorization"] = `Bearer ${attempt.token}`;
  if (attempt.cursor !== null) {
    // fetch refuses field values outside Latin-1.
    if (/^[\x21-\x7e]+$/.test(attempt.cursor)) headers["Last-Event-ID"] = attempt.cursor;
    else url.searchParams.set("last_event_id", attempt.cursor);
  }
  return headers;
}

/** Returns the cursor that an answer begins after. Browsers read a field's bytes as Latin-1, the hub writes UTF-8. */
export function answeredCursor(answer: Response): string | null {
  const field = answer.headers.get("Mercure-Last-Event-ID");
  if (field === null || /^[\x00-\x7f]*$/.test(field)) return field;
  try {
    const bytes = Uint8Array.from(field, (character) => character.charCodeAt(0));
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return field;
  }
}

/** Watches for silence: `heard` begins the time anew, `stop` ends it. */
export function silence(attempt: Attempt, onSilence: () => void): { heard(): void; stop(): void } {
  const { environment, silenceMs } = attempt;
  let timer: unknown;
  const stop = () => environment.clearTimeout(timer);
  const heard = () => {
    stop();
    if (silenceMs > 0) timer = environment.setTimeout(onSilence, silenceMs);
  };
  heard();
  return { heard, stop };
}
