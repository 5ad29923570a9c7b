// The interface of a transport: opens one connection, delivers updates, and reports how it ended.

import { readProblem } from "./problem.js";
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
  /** The hub does not have everything after the cursor that matchers were added with. */
  gap(asked: string): void;
  /** Something arrived. */
  alive(): void;
  /** The time that the hub asks to wait before reconnecting. */
  retry(ms: number): void;
  ended(ending: Ending): void;
}

/** An open connection. */
export interface Carrier {
  close(): void;
  /** Adds or removes matchers. Transports without this have to reconnect. */
  select?(change: "subscribe" | "unsubscribe", selection: Selecting): void;
}

/** Opens a connection. */
export type Transport = (attempt: Attempt, receiver: Receiver) => Carrier;

/** The tools of a transport that sends requests. */
interface Asking {
  /** Sends a request. Returns `null` if its response ended the connection. */
  ask(accept: string, cursor: string | null, fields?: Record<string, string>): Promise<Response | null>;
  /** Restarts the timer for silence. */
  heard(): void;
  isDone(): boolean;
  end(ending: Ending): void;
}

/** Runs a transport that sends requests until it is closed, ends, or becomes silent. */
export function asking(attempt: Attempt, receiver: Receiver, run: (asking: Asking) => Promise<void>): Carrier {
  const { url, topics, patterns, token, credentials, environment } = attempt;
  const abort = new AbortController();
  const { heard, isDone, end, close } = life(attempt.silenceMs, attempt, receiver, () => abort.abort());

  const ask: Asking["ask"] = async (accept, cursor, fields) => {
    const address = new URL(url);
    for (const topic of topics) address.searchParams.append("match", topic);
    for (const pattern of patterns) address.searchParams.append("match_urlpattern", pattern);
    const headers: Record<string, string> = { Accept: accept, ...fields };
    if (token !== null) headers["Authorization"] = `Bearer ${token}`;
    if (cursor !== null) {
      // fetch refuses field values outside Latin-1.
      if (/^[\x21-\x7e]+$/.test(cursor)) headers["Last-Event-ID"] = cursor;
      else address.searchParams.set("last_event_id", cursor);
    }
    const { signal } = abort;
    const answer = await environment.fetch(address, { headers, signal, cache: "no-store", credentials });
    if (!answer.ok) end({ kind: "refused", error: await readProblem(answer) });
    else if (!answer.body || !answer.headers.get("Content-Type")?.startsWith(accept)) end({ kind: "unfit" });
    return isDone() ? null : answer;
  };

  run({ ask, heard, isDone, end }).catch(() => end({ kind: "lost" }));
  return { close };
}

/** Tracks the life of one connection. It ends once, at the latest after a time of silence. */
export function life(silenceMs: number, { environment }: Attempt, receiver: Receiver, free: () => void, onSilence?: () => boolean) {
  let done = false;
  let timer: unknown;
  const listen = () => {
    environment.clearTimeout(timer);
    const onTime = () => {
      if (onSilence?.()) listen();
      else end({ kind: "lost" });
    };
    if (silenceMs > 0) timer = environment.setTimeout(onTime, silenceMs);
  };
  const close = () => {
    done = true;
    environment.clearTimeout(timer);
    free();
  };
  const end = (ending: Ending) => {
    if (done) return;
    close();
    receiver.ended(ending);
  };
  const heard = () => {
    listen();
    receiver.alive();
  };
  listen();
  return { close, end, heard, isDone: () => done };
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

/** The content of a `subscribe` or `unsubscribe` frame. */
export interface Selecting {
  match?: readonly string[];
  match_urlpattern?: readonly string[];
  last_event_id?: string;
}

/** Returns the content of such a frame. */
export function selecting(topics: readonly string[], patterns: readonly string[], cursor: string | null): Selecting {
  return {
    ...(topics.length > 0 && { match: topics }),
    ...(patterns.length > 0 && { match_urlpattern: patterns }),
    ...(cursor !== null && { last_event_id: cursor }),
  };
}
