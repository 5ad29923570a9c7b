// One connection for all tabs: the tab that holds a lock has it, and broadcasts to the others.

import { list, type Listener, Link } from "./connection.js";
import type { Environment, Gap, Opening, Options, State, TransportName, Update } from "./types.js";

type Note =
  | { update: Update }
  | { opening: Opening }
  | { gap: Gap }
  | { state: State; transport: TransportName | null; cursor: string | null }
  /** A new tab asks for the current state. */
  | { hello: true };

/**
 * A subscription that several tabs share. Where the browser does not allow sharing, each tab has
 * its own.
 */
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
      // This throws where BroadcastChannel is missing or forbidden: in a frame without an origin,
      // or if the visitor blocks all storage.
      this.#channel = new (environment.BroadcastChannel as typeof BroadcastChannel)(this.#name);
      this.#channel.onmessage = ({ data }: MessageEvent<Note>) => this.#onNote(data);
    } catch {
      // This tab is alone then; see `start`.
    }
  }

  /** Joins the other tabs. The first tab connects, and another one when that has gone. */
  start(): void {
    const { locks } = this.#environment;
    if (!locks || !this.#channel) return this.#alone();
    this.#listener.onState("connecting", null);
    this.#post({ hello: true });
    const { signal } = this.#abort;
    const hold = () => {
      if (signal.aborted) return;
      this.#lead();
      // The lock is held until this tab closes the connection or is closed itself.
      return new Promise<void>((resolve) => (this.#release = resolve));
    };
    locks.request(this.#name, { signal }, hold).catch(() => {
      // The connection was closed before this tab got the lock, or this page may not use locks.
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

  /** Passes the events of the connection to this tab and all others. */
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
    // Two tabs may lead for a moment, while the lock changes hands.
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
      // The leading tab was closed. This tab, or another one, is about to take over.
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
