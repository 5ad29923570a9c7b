// One connection for all tabs: the tab that holds a lock has it, and broadcasts to the others.

import { list, type Listener, Link, Recent } from "./connection.js";
import type { Environment, LinkOptions, Opening, State, TransportName, Update } from "./types.js";

/** A message from the leading tab: a call of the listeners of the others. */
type Call = { [Name in keyof Listener]: [Name, ...Parameters<Listener[Name]>] }[keyof Listener];
/** `hello`: a new tab asks for the current state. */
type Note = Call | ["hello"];

/**
 * A subscription that several tabs share. Where the browser does not allow sharing, each tab has
 * its own.
 */
export class SharedLink {
  cursor: string | null;
  state: State = "connecting";
  transport: TransportName | null = null;
  readonly #url: URL;
  readonly #options: LinkOptions;
  readonly #listener: Listener;
  readonly #environment: Environment;
  readonly #name: string;
  #channel: BroadcastChannel | null = null;
  readonly #abort = new AbortController();
  #link: Link | null = null;
  readonly #recent = new Recent();
  /** The positions that this tab has reached. */
  readonly #cursors = new Recent();
  #release: (() => void) | null = null;

  constructor(url: URL, options: LinkOptions, listener: Listener, environment: Environment) {
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
    this.#post(["hello"]);
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

  select(): never {
    throw new TypeError("a connection that tabs share keeps its topics and patterns");
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
    const telling =
      <Name extends keyof Listener>(name: Name) =>
      (...told: Parameters<Listener[Name]>) => {
        const call = [name, ...told] as unknown as Call;
        this.#post(call);
        this.#hear(call);
      };
    return {
      onUpdate: telling("onUpdate"),
      onOpen: telling("onOpen"),
      onGap: telling("onGap"),
      onState: telling("onState"),
      onCursor: telling("onCursor"),
      onKeepAlive: () => {
        if (this.#options.onKeepAlive) telling("onKeepAlive")();
      },
      // An error would lose its class on the way to another tab.
      onError: (error) => this.#listener.onError(error),
    };
  }

  #post(note: Note): void {
    if (!this.#abort.signal.aborted) this.#channel?.postMessage(note);
  }

  #onNote(note: Note): void {
    if (note[0] === "hello") {
      if (!this.#link) return;
      if (this.cursor !== null) this.#post(["onCursor", this.cursor]);
      this.#post(["onState", this.state, this.transport]);
    } else if (!this.#link && note[1] !== "closed") {
      // Two tabs may lead for a moment, while the lock changes hands. After the leading tab was
      // closed, this tab or another one is about to take over.
      this.#hear(note);
    }
  }

  #hear([name, ...told]: Call): void {
    if (name === "onState") return this.#onState(...(told as Parameters<Listener["onState"]>));
    if (name === "onUpdate") {
      const [{ id }] = told as [Update];
      this.#move(id);
      // After the leading tab was closed, the next one may repeat what this tab already received.
      if (this.#recent.seen(id)) return;
    }
    if (name === "onCursor") this.#move((told as [string])[0]);
    (this.#listener[name] as (...told: unknown[]) => void)(...told);
    if (name === "onOpen" && !this.#link) this.#onOpen((told as [Opening])[0]);
  }

  /** Detects that the leading tab starts at a position that this tab has not reached. */
  #onOpen({ asked, answered }: Opening): void {
    if (this.cursor !== null && !this.#cursors.has(asked ?? answered)) this.#listener.onGap({ asked: this.cursor });
  }

  #move(cursor: string): void {
    this.cursor = cursor;
    this.#cursors.seen(cursor);
  }

  #onState(state: State, transport: TransportName | null): void {
    if (this.state === state && state !== "connecting") return;
    this.state = state;
    this.transport = transport;
    this.#listener.onState(state, transport);
  }
}
