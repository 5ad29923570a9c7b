// One connection as the application sees it. It resumes where it was, whatever happens to its
// transports.

import { Backoff } from "./backoff.js";
import { Choice } from "./choice.js";
import { eventStream } from "./event-stream.js";
import { longPoll } from "./long-poll.js";
import { isPassing } from "./problem.js";
import { fetchToken } from "./publish.js";
import { selecting, type Attempt, type Carrier, type Ending, type Transport } from "./transport.js";
import type { HubError, Environment, Gap, Opening, LinkOptions, Selection, State, TransportName, Update } from "./types.js";
import { webSocket } from "./websocket.js";

const TRANSPORTS: Record<TransportName, Transport> = {
  "event-stream": eventStream,
  websocket: webSocket,
  "long-poll": longPoll,
};
const ORDER: readonly TransportName[] = ["event-stream", "websocket", "long-poll"];
/** Over HTTP/1 six event streams would take all connections of a browser to a host. */
const ORDER_HTTP1: readonly TransportName[] = ["websocket", "event-stream", "long-poll"];

/** How long a transport may take to open before the next one is tried. */
const OPEN_MS_MAX = 8_000;
/** How long a connection must last before it counts as working. */
const STEADY_MS = 10_000;
const SILENCE_SECS = 45;
/** The number of recent ids that are kept, to drop updates that are repeated after a gap. */
const RECENT_MAX = 1024;
const EARLIEST = "earliest";
/** Events of the browser about the page and the network. */
const EVENTS = ["online", "offline", "visibilitychange", "pageshow", "pagehide"];

/** The events of a {@link Link}. */
export interface Listener {
  onUpdate(update: Update): void;
  onOpen(opening: Opening): void;
  onGap(gap: Gap): void;
  onState(state: State, transport: TransportName | null): void;
  onError(error: HubError): void;
  onKeepAlive(): void;
  /** The cursor advanced without an update. */
  onCursor(cursor: string): void;
}

/** Keeps one subscription connected. */
export class Link {
  cursor: string | null;
  state: State = "connecting";
  readonly #url: URL;
  readonly #options: LinkOptions;
  readonly #listener: Listener;
  readonly #environment: Environment;
  readonly #backoff: Backoff;
  readonly #choice: Choice;
  readonly #topics: Set<string>;
  readonly #patterns: Set<string>;
  #carrier: Carrier | null = null;
  #timer: unknown;
  #steady: unknown;
  /** Counts connections. Events of earlier connections are ignored. */
  #number = 0;
  /** Whether the token was renewed since the hub last accepted one. */
  #renewed = false;
  readonly #recent = new Recent();
  /** Whether the hub may repeat updates that were already received. */
  #repeats = false;
  /**
   * Whether matchers were added to an open connection. Their replay may mix with new updates, so
   * that the cursor goes back.
   */
  #mixed = false;

  constructor(url: URL, options: LinkOptions, listener: Listener, environment: Environment) {
    this.#url = url;
    this.#options = options;
    this.#listener = listener;
    this.#environment = environment;
    this.cursor = options.lastEventId ?? null;
    this.#backoff = new Backoff(environment.random);
    this.#topics = new Set(list(options.topics));
    this.#patterns = new Set(list(options.patterns));
    const order = environment.isHttp1(url) ? ORDER_HTTP1 : ORDER;
    const names = options.transports?.length ? options.transports : order;
    this.#choice = new Choice(names, url.origin, environment);
    for (const name of EVENTS) environment.events?.addEventListener(name, this.#onEvent);
  }

  get transport(): TransportName | null {
    return this.state === "open" ? this.#choice.current : null;
  }

  /** Connects; called once. */
  start(): void {
    this.#enter("connecting");
    void this.#connect();
  }

  /** Adds topics and patterns, whose updates start after the cursor, or removes them. */
  select(change: "subscribe" | "unsubscribe", { topics, patterns }: Selection): void {
    const adds = change === "subscribe";
    const changing = (texts: Selection["topics"], set: Set<string>) => list(texts).filter((text) => set.has(text) !== adds);
    const changed = [changing(topics, this.#topics), changing(patterns, this.#patterns)] as const;
    const count = changed[0].length + changed[1].length;
    if (!adds && count === this.#topics.size + this.#patterns.size) throw new TypeError("nothing would be left to receive: close the connection");
    [this.#topics, this.#patterns].forEach((set, at) => {
      for (const text of changed[at] as string[]) adds ? set.add(text) : set.delete(text);
    });
    if (count === 0 || !this.#carrier) return;
    const { select } = this.#carrier;
    // This connection has the old selection. The next one resumes from the cursor.
    if (this.state !== "open" || !select) return this.#again();
    if (adds) this.#mixed = this.#repeats = true;
    select(change, selecting(...changed, adds ? this.cursor : null));
  }

  /** Closes the connection for good. */
  close(): void {
    this.#drop();
    for (const name of EVENTS) this.#environment.events?.removeEventListener(name, this.#onEvent);
    this.#enter("closed");
  }

  /**
   * Handles events of the browser: if the page or network returns, reconnects at once; if it goes,
   * disconnects.
   */
  #onEvent = (event: Event) => {
    const { type } = event;
    const state = this.state;
    if (state === "closed" || state === "failed") return;
    if (type === "offline" || type === "pagehide") {
      // Without a network, or on a page that the browser has suspended, nobody would notice the end
      // of a connection.
      this.#drop();
      return this.#wait(0);
    }
    if (type === "visibilitychange" && !this.#environment.isVisible()) return;
    const back = type === "pageshow" && (event as PageTransitionEvent).persisted;
    const idle = state === "waiting" || state === "offline";
    if (back || idle || (type === "online" && state === "connecting")) this.#again();
  };

  #again = () => {
    this.#drop();
    this.#enter("connecting");
    void this.#connect();
  };

  #drop(): void {
    this.#number += 1;
    this.#environment.clearTimeout(this.#timer);
    this.#environment.clearTimeout(this.#steady);
    this.#carrier?.close();
    this.#carrier = null;
  }

  #enter(wanted: State): void {
    const passing = wanted === "connecting" || wanted === "waiting";
    const state = passing && !this.#environment.isOnline() ? "offline" : wanted;
    if (this.state === state && state !== "connecting") return;
    this.state = state;
    this.#listener.onState(state, this.transport);
  }

  async #connect(): Promise<void> {
    const number = ++this.#number;
    let token: string | null;
    try {
      token = await fetchToken(this.#options.token);
    } catch (error) {
      if (number !== this.#number) return;
      this.#listener.onError(error as HubError);
      return this.#wait(0);
    }
    if (number !== this.#number) return;
    this.#open(number, token);
  }

  #open(number: number, token: string | null): void {
    const attempt = this.#attempt(token);
    const isCurrent = () => number === this.#number;
    let opened = false;
    this.#timer = this.#environment.setTimeout(() => {
      if (isCurrent() && !opened) this.#onEnd({ kind: "unfit" }, false);
    }, OPEN_MS_MAX);
    const carrier = TRANSPORTS[this.#choice.current](attempt, {
      opened: (answered) => {
        if (!isCurrent()) return;
        opened = true;
        this.#onOpened(answered);
      },
      update: (update) => {
        if (isCurrent()) this.#onUpdate(update);
      },
      cursor: (id) => {
        if (!isCurrent()) return;
        this.cursor = id;
        this.#listener.onCursor(id);
      },
      gap: (asked) => {
        if (isCurrent()) this.#listener.onGap({ asked });
      },
      alive: () => {
        if (isCurrent()) this.#listener.onKeepAlive();
      },
      retry: (ms) => this.#backoff.asked(ms),
      ended: (ending) => {
        if (isCurrent()) this.#onEnd(ending, opened);
      },
    });
    // The transport may have ended while it was being opened, and another one may be open now.
    if (isCurrent()) this.#carrier = carrier;
  }

  #attempt(token: string | null): Attempt {
    const { withCredentials, silenceSecs, wire } = this.#options;
    return {
      url: this.#url,
      topics: [...this.#topics],
      patterns: [...this.#patterns],
      cursor: this.cursor,
      token,
      credentials: withCredentials ? "include" : "same-origin",
      wire: wire ?? false,
      silenceMs: (silenceSecs ?? SILENCE_SECS) * 1000,
      environment: this.#environment,
    };
  }

  #onOpened(answered: string | null): void {
    this.#environment.clearTimeout(this.#timer);
    this.#environment.clearTimeout(this.#steady);
    this.#steady = this.#environment.setTimeout(() => this.#backoff.reset(), STEADY_MS);
    this.#choice.keep();
    this.#renewed = false;
    const asked = this.cursor;
    const gap = asked !== null && asked !== EARLIEST && answered !== asked;
    this.#repeats = gap || this.#mixed;
    this.#listener.onOpen({ asked, answered, transport: this.#choice.current });
    if (gap) this.#listener.onGap({ asked: asked as string });
    // If the connection is lost before the first update, it resumes from the hub's current
    // position.
    if (asked === null) this.cursor = answered;
    if (this.cursor !== null) this.#listener.onCursor(this.cursor);
    this.#enter("open");
  }

  #onUpdate(update: Update): void {
    this.cursor = update.id;
    this.#backoff.reset();
    if (this.#recent.seen(update.id) && this.#repeats) return;
    this.#listener.onUpdate(update);
  }

  #onEnd(ending: Ending, opened: boolean): void {
    this.#drop();
    if (ending.kind === "refused") return this.#onRefusal(ending.error);
    if (opened && ending.kind === "lost") {
      this.#choice.restart();
      return this.#wait(0);
    }
    if (this.#choice.next(ending.kind)) return this.#wait(0);
    this.#again();
  }

  #onRefusal(error: HubError): void {
    this.#listener.onError(error);
    if (isPassing(error.status)) return this.#wait(error.retryAfterMs ?? 0);
    const renewable = typeof this.#options.token === "function";
    if (error.status === 401 && renewable && !this.#renewed) {
      this.#renewed = true;
      return this.#again();
    }
    if (error.status === 401 && renewable) return this.#wait(0);
    // 404 and 405 may mean that only this transport is not supported.
    const otherWay = error.status === 404 || error.status === 405 || error.status === 406;
    if (otherWay && !this.#choice.next("unfit")) return this.#again();
    this.#enter("failed");
  }

  #wait(atLeastMs: number): void {
    const number = this.#number;
    this.#enter("waiting");
    // The callback may have closed the connection.
    if (number !== this.#number) return;
    this.#timer = this.#environment.setTimeout(this.#again, this.#backoff.next(atLeastMs));
  }
}

/** Recent ids of updates, or recent cursors. */
export class Recent {
  readonly #ids = new Set<string>();

  has(id: string | null): boolean {
    return id !== null && this.#ids.has(id);
  }

  /** Adds an id. Returns whether it was there before. */
  seen(id: string): boolean {
    const known = this.#ids.delete(id);
    this.#ids.add(id);
    if (this.#ids.size > RECENT_MAX) this.#ids.delete(this.#ids.values().next().value as string);
    return known;
  }
}

/** Returns one or several values as an array. */
export function list(texts: string | readonly string[] | undefined): readonly string[] {
  return typeof texts === "string" ? [texts] : (texts ?? []);
}
