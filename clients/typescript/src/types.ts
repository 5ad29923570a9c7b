// The types that applications see: updates, options, states and errors.

/** The transport of updates. */
export type TransportName = "event-stream" | "websocket" | "long-poll";

/** A published update. Its payload is text, or the result of {@link Options.parse}. */
export interface Update<T = string> {
  /** The cursor. A connection with this `lastEventId` receives everything after it. */
  readonly id: string;
  /** The event's type; `message` if the publisher set none. */
  readonly type: string;
  /** The payload. */
  readonly data: T;
  /** Its topics, the canonical one first. Event streams do not contain them. */
  readonly topics?: readonly string[];
  /** The text that the hub sent, if {@link Options.wire} is on. */
  readonly wire?: string;
}

/** An update to publish. */
export interface Draft {
  /** Its topics, the canonical one first. */
  topic: string | readonly string[];
  /** The payload. Anything but a string is sent as JSON. */
  data?: unknown;
  /** Whether only subscribers with a grant receive it. */
  private?: boolean;
  /** An event id chosen by the publisher. */
  id?: string;
  /** The event's type. */
  type?: string;
  /** Milliseconds that subscribers wait before they reconnect. */
  retry?: number;
}

/**
 * The state of a connection. `waiting`: it was lost, and is tried again after a pause. `offline`:
 * the browser reports that there is no network; it is still tried, since a hub on this machine
 * needs none. `failed`: the hub refused it for good, and it is not tried again.
 */
export type State = "connecting" | "open" | "waiting" | "offline" | "failed" | "closed";

/** The event that a connection was opened. */
export interface Opening {
  /** The cursor that the client requested. */
  readonly asked: string | null;
  /** The cursor that the hub starts after; `earliest` if it does not know the requested one. */
  readonly answered: string | null;
  readonly transport: TransportName;
}

/** Updates may be missing: the hub does not have everything after a cursor. */
export interface Gap {
  /** The cursor that the hub does not know any more. */
  readonly asked: string;
}

/**
 * An access token, or a function that fetches one. It is called before each connection and after a
 * refusal.
 */
export type TokenSource = string | (() => string | Promise<string>);

/** The topics and patterns to receive; the topic `*` is everything. */
export interface Selection {
  /** Topics, exactly as published. */
  topics?: string | readonly string[];
  /** URL patterns. */
  patterns?: string | readonly string[];
}

/** The options of {@link connect}. */
export interface Options<T = string> extends Selection {
  /**
   * Transports in the order of preference; the one that worked last is tried first. Default: all
   * three, the event stream first. Over HTTP/1, where a browser opens only six connections to a
   * host, the WebSocket is first.
   */
  transports?: readonly TransportName[];
  /**
   * The access token. Without one, cookies identify the visitor, if {@link withCredentials} allows
   * them.
   */
  token?: TokenSource;
  /** Starts after this event instead of now; `earliest` for everything that the hub has. */
  lastEventId?: string;
  /** Sends cookies to a hub of another origin, too. */
  withCredentials?: boolean;
  /**
   * Shares one connection between the tabs of a browser. Tabs share it if url, topics, patterns and
   * the name given here are equal. Off by default, since tabs may have tokens of different people.
   */
  share?: string;
  /** Seconds of silence after which a connection counts as lost; three heartbeats. Default: 45. */
  silenceSecs?: number;
  /** Keeps the text from the hub in `wire` of each update, for debugging. */
  wire?: boolean;
  /** Parses the payload, such as `JSON.parse`. If it throws, {@link onError} is called instead of {@link onUpdate}. */
  parse?: (data: string) => T;
  /** Called once for each update, in order. */
  onUpdate?: (update: Update<T>) => void;
  /** Called when updates may have been missed. Fetch the current state again then. */
  onGap?: (gap: Gap) => void;
  /** Called when the hub reports where a connection starts; before {@link onGap}. */
  onOpen?: (opening: Opening) => void;
  /** Called whenever the state changes. */
  onState?: (state: State, transport: TransportName | null) => void;
  /** Called whenever something arrives from the hub: updates, and the keep-alives between them. */
  onKeepAlive?: () => void;
  /** Called for each refusal, including those after which the connection is tried again. */
  onError?: (error: HubError) => void;
  /** The features of the browser; replaced in tests. */
  environment?: Partial<Environment>;
}

/** The options that a link uses. */
export type LinkOptions = Omit<Options, "onUpdate" | "parse">;

/** The options of a publication. */
export interface PublishOptions {
  /** Cancels the publication when it is aborted. */
  signal?: AbortSignal;
  /** The time limit in seconds; 0 for none. Default: 30. */
  timeoutSecs?: number;
  /** A text of your own for this update, such as a random UUID: published again with it, the update is stored once. */
  key?: string;
}

/**
 * Why something failed. `refused`: the hub refused it. `unreachable`: there was no response.
 * `timeout`: there was none in time. `aborted`: the signal was aborted. `token`: the token could
 * not be fetched. `data`: a payload could not be parsed. After `unreachable`, `timeout` and
 * `aborted`, the hub may still have received the publication.
 */
export type ErrorCode = "refused" | "unreachable" | "timeout" | "aborted" | "token" | "data";

/**
 * A refusal by the hub, with its problem document (RFC 9457), or the reason why there was no
 * response.
 */
export class HubError extends Error {
  constructor(
    /** The cause, for programs. */
    readonly code: ErrorCode,
    /** The HTTP status; 0 if there was no response. */
    readonly status: number,
    /** The type of the problem, for programs; empty if the response had no problem document. */
    readonly type: string,
    /** A short title, which is the same for all problems of this type. */
    readonly title: string,
    detail: string,
    /** The milliseconds after which the hub asks to try again. */
    readonly retryAfterMs: number | null = null,
  ) {
    super(detail);
    this.name = "HubError";
  }
}

/** The features of the browser that the client uses. */
export interface Environment {
  fetch: typeof fetch;
  WebSocket: typeof WebSocket | undefined;
  BroadcastChannel: typeof BroadcastChannel | undefined;
  locks: LockManager | undefined;
  storage: Storage | undefined;
  /** A random number from 0 to 1. */
  random: () => number;
  /** Milliseconds since 1970. */
  now: () => number;
  setTimeout: (run: () => void, ms: number) => unknown;
  clearTimeout: (timer: unknown) => void;
  /** The target of `online`, `offline`, `visibilitychange`, `pageshow` and `pagehide`. */
  events: EventTarget | undefined;
  /** Whether there may be a network. */
  isOnline: () => boolean;
  /** Whether the page may be visible. */
  isVisible: () => boolean;
  /** Whether the browser uses HTTP/1 for this URL. */
  isHttp1: (url: URL) => boolean;
}

/** Returns the features of this browser. Forbidden ones are missing. */
export function browser(): Environment {
  const scope = globalThis as typeof globalThis & { BroadcastChannel?: typeof BroadcastChannel };
  return {
    fetch: (input, init) => scope.fetch(input, init),
    WebSocket: scope.WebSocket,
    BroadcastChannel: scope.BroadcastChannel,
    locks: scope.navigator?.locks,
    storage: storage(),
    random: Math.random,
    now: Date.now,
    setTimeout: (run, ms) => scope.setTimeout(run, ms),
    clearTimeout: (timer) => scope.clearTimeout(timer as number),
    events: typeof scope.addEventListener === "function" ? (scope as unknown as EventTarget) : undefined,
    isOnline: () => scope.navigator?.onLine !== false,
    isVisible: () => scope.document?.visibilityState !== "hidden",
    // Without TLS browsers use HTTP/1 only. Outside a browser connections are not limited.
    isHttp1: ({ protocol, origin }) => scope.location !== undefined && (protocol === "http:" || /^http\/1/.test(seenProtocol(origin))),
  };
}

/** Returns the protocol of the page or of other resources of this origin; empty if unknown. */
function seenProtocol(origin: string): string {
  const entries = ["navigation", "resource"].flatMap((type) => performance.getEntriesByType(type)) as PerformanceResourceTiming[];
  return entries.find(({ name, nextHopProtocol }) => nextHopProtocol && name.startsWith(`${origin}/`))?.nextHopProtocol ?? "";
}

/** Returns the storage. Accessing it throws where a page may not use it. */
function storage(): Storage | undefined {
  try {
    return globalThis.localStorage;
  } catch {
    return undefined;
  }
}
