// The interface of a transport: opens one connection, delivers updates, and reports how it ended.

import type { Environment, HubError, Update } from "./types.js";

/** The settings of one connection. */
export interface Attempt {
  readonly url: URL;
  readonly topics: readonly string[];
  readonly patterns: readonly string[];
  readonly cursor: string | null;
  readonly token: string | null;
  readonly credentials: RequestCredentials;
  readonly silenceMs: number;
  /** Whether each update keeps the text that was received. */
  readonly wire: boolean;
  readonly environment: Environment;
}

/** How a connection ended. */
export type Ending =
  /** It was lost, or could not be established. */
  | { readonly kind: "lost" }
  /** The hub refused it. */
  | { readonly kind: "refused"; readonly error: HubError }
  /** The browser or the hub does not support this transport. */
  | { readonly kind: "unfit" };

/** Receives the events of a connection. Nothing is called after its end, or after it was closed. */
export interface Receiver {
  /** The hub responded. `answered` is the cursor that it starts after. */
  opened(answered: string | null): void;
  update(update: Update): void;
  /** The cursor advanced without an update. */
  cursor(id: string): void;
  /** The time that the hub asks to wait before reconnecting. */
  retry(ms: number): void;
  ended(ending: Ending): void;
}

/** Opens a connection. Returns a function that closes it. */
export type Transport = (attempt: Attempt, receiver: Receiver) => () => void;

/** Returns the URL of a subscription. */
export function subscriptionUrl(attempt: Attempt): URL {
  const url = new URL(attempt.url);
  for (const topic of attempt.topics) url.searchParams.append("match", topic);
  for (const pattern of attempt.patterns) url.searchParams.append("match_urlpattern", pattern);
  return url;
}

/**
 * Returns the header fields of a request. A cursor that does not fit into a field goes into `url`.
 */
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

/**
 * Returns the cursor that a response starts after. Browsers decode field values as Latin-1, but the
 * hub sends UTF-8.
 */
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

/** Detects silence: `heard` restarts the timer, `stop` ends it. */
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
