// One connection for all tabs: the tab that holds a lock has it, the others hear from it.

import { list, type Listener, Link } from "./connection.js";
import type { Environment, Gap, Opening, Options, State, TransportName, Update } from "./types.js";

type Note =
  | { update: Update }
  | { opening: Opening }
  | { gap: Gap }
  | { state: State; transport: TransportName | null; cursor: string | null }
  /** A tab that is new asks where the others stand. */
  | { hello: true };

/** A subscription that one of several tabs keeps; each its own where a browser lets none share. */
export class SharedLink {
  cursor: string | null;
  state: State = "connecting";
  transport: TransportName | null = null;
  readonly #url: URL;
  readonly #options: Options;
  readonly #listener: Listener;
  readonly #environment: Environment;
  readonly #name: string;
  #channel: BroadcastChannel | null = null;
  readonly #abort = new AbortController();
  #link: Link | null = null;
  #release: (() => void) | null = null;

  constructor(url: URL, options: Options, listener: Listener, environment: Environment) {
    this.#url = url;
    this.#options = options;
    this.#listener = listener;
    this.#environment = environment;
    this.cursor = options.lastEventId ?? null;
    const selection = [url.href, options.share, list(options.topics), list(options.patterns)];
    this.#name = `tidings ${JSON.stringify(selection)}`;
    try {
      // Without channels, or where a page may have none, this throws: in a frame without an origin, or
      // where a visitor forbids all storage.
      this.#channel = new (environment.BroadcastChannel as typeof BroadcastChannel)(this.#name);
      this.#channel.onmessage = ({ data }: MessageEvent<Note>) => this.#onNote(data);
    } catch {
      // Alone then; see `start`.
    }
  }

  /** Takes part; the first tab, or the next one after it is gone, connects. */
  start(): void {
    const { locks } = this.#environment;
    if (!locks || !this.#channel) return this.#alone();
    this.#listener.onState("connecting", null);
    this.#post({ hello: true });
    const { signal } = this.#abort;
    const hold = () => {
      if (signal.aborted) return;
      this.#lead();
      // Held until this tab closes the connection, or is closed itself.
      return new Promise<void>((resolve) => (this.#release = resolve));
    };
    locks.request(this.#name, { signal }, hold).catch(() => {
      // Closed before it was this tab's turn, or no page like this one may have locks.
      if (!signal.aborted) this.#alone();
    });
  }

  #alone(): void {
    this.#channel?.close();
    this.#channel = null;
    this.#lead();
  }

  close(): void {
    this.#abort.abort();
    this.#link?.close();
    this.#channel?.close();
    this.#release?.();
    if (!this.#link) this.#onState("closed", null);
  }

  #lead(): void {
    const options = { ...this.#options };
    if (this.cursor !== null) options.lastEventId = this.cursor;
    const link = new Link(this.#url, options, this.#leading(), this.#environment);
    this.#link = link;
    link.start();
  }

  /** Tells this tab and all others what the connection brings. */
  #leading(): Listener {
    return {
      onUpdate: (update) => {
        this.cursor = update.id;
        this.#post({ update });
        this.#listener.onUpdate(update);
      },
      onOpen: (opening) => {
        this.#post({ opening });
        this.#listener.onOpen(opening);
      },
      onGap: (gap) => {
        this.#post({ gap });
        this.#listener.onGap(gap);
      },
      onState: (state, transport) => {
        this.#post({ state, transport, cursor: this.cursor });
        this.#onState(state, transport);
      },
      onError: (error) => this.#listener.onError(error),
      onCursor: (cursor) => {
        this.cursor = cursor;
        this.#post({ state: this.state, transport: this.transport, cursor });
        this.#listener.onCursor(cursor);
      },
    };
  }

  #post(note: Note): void {
    if (!this.#abort.signal.aborted) this.#channel?.postMessage(note);
  }

  #onNote(note: Note): void {
    if ("hello" in note) {
      if (this.#link) this.#post({ state: this.state, transport: this.transport, cursor: this.cursor });
      return;
    }
    // Two tabs may lead for a moment, while the lock goes from one to the other.
    if (this.#link) return;
    if ("update" in note) {
      this.cursor = note.update.id;
      this.#listener.onUpdate(note.update);
    } else if ("opening" in note) {
      this.#listener.onOpen(note.opening);
    } else if ("gap" in note) {
      this.#listener.onGap(note.gap);
    } else {
      if (note.cursor !== null) this.cursor = note.cursor;
      // The tab that leads was closed: this one, or another, is about to take over.
      if (note.state !== "closed") this.#onState(note.state, note.transport);
    }
  }

  #onState(state: State, transport: TransportName | null): void {
    if (this.state === state && state !== "connecting") return;
    this.state = state;
    this.transport = transport;
    this.#listener.onState(state, transport);
  }
}
