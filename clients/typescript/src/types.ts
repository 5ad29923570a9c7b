// What an application sees: updates, options, states and errors.

/** How updates travel. */
export type TransportName = "event-stream" | "websocket" | "long-poll";

/** What somebody published. */
export interface Update {
  /** The cursor: a connection that begins with it as `lastEventId` gets everything after it. */
  readonly id: string;
  /** The event's type; `message` if the publisher chose none. */
  readonly type: string;
  /** The payload. */
  readonly data: string;
  /** Its topics, the canonical one first. An event stream does not carry them. */
  readonly topics?: readonly string[];
  /** What the hub sent, if {@link Options.wire} asks for it. */
  readonly wire?: string;
}

/** What is published. */
export interface Draft {
  /** Its topics, the canonical one first. */
  topic: string | readonly string[];
  /** The payload; anything but a string is sent as JSON. */
  data?: unknown;
  /** Whether only subscribers with a grant receive it. */
  private?: boolean;
  /** An event id of the publisher's own. */
  id?: string;
  /** The event's type. */
  type?: string;
  /** Milliseconds that subscribers wait before they reconnect. */
  retry?: number;
}

/**
 * Where a connection stands. `waiting`: it was lost and is tried again after a pause. `offline`: the
 * browser says that there is no network; it is tried all the same, since a hub on this machine needs
 * none. `failed`: the hub refuses it for good, and nothing is tried any more.
 */
export type State = "connecting" | "open" | "waiting" | "offline" | "failed" | "closed";

/** A connection was opened. */
export interface Opening {
  /** The cursor that it was asked to begin after. */
  readonly asked: string | null;
  /** The cursor that the hub says it begins after; `earliest` if it does not know the one asked for. */
  readonly answered: string | null;
  readonly transport: TransportName;
}

/** Updates may be missing: the hub does not have all that came after a cursor. */
export interface Gap {
  /** The cursor that the hub does not know any more. */
  readonly asked: string;
}

/** An access token, or what fetches a new one; called before each connection and after a refusal. */
export type TokenSource = string | (() => string | Promise<string>);

/** What {@link connect} takes. */
export interface Options {
  /** Topics, each as it was published. */
  topics?: string | readonly string[];
  /** URL patterns. */
  patterns?: string | readonly string[];
  /** What is tried, in this order; what worked last is tried first. Default: all three. */
  transports?: readonly TransportName[];
  /** Without one, cookies identify the visitor, if {@link withCredentials} lets them. */
  token?: TokenSource;
  /** Begins after this event instead of now; `earliest` for everything that the hub has. */
  lastEventId?: string;
  /** Sends cookies to a hub of another origin too. */
  withCredentials?: boolean;
  /**
   * Shares one connection between the tabs of a browser. Tabs share if url, topics and patterns are
   * equal, and the name given here. Off by default, since tabs could hold tokens of several people.
   */
  share?: string;
  /** Seconds of silence after which a connection is taken for lost; three heartbeats. Default: 45. */
  silenceSecs?: number;
  /** Keeps the text that the hub sent in `wire` of each update, for debugging. */
  wire?: boolean;
  /** Called for each update, once, in order. */
  onUpdate: (update: Update) => void;
  /** Called when updates may have been missed; fetch the present state anew then. */
  onGap?: (gap: Gap) => void;
  /** Called when the hub says where a connection begins; before {@link onGap}. */
  onOpen?: (opening: Opening) => void;
  /** Called whenever the state changes. */
  onState?: (state: State, transport: TransportName | null) => void;
  /** Called for each refusal, also for those after which the connection is tried again. */
  onError?: (error: HubError) => void;
  /** What the browser offers; replaced in tests. */
  environment?: Partial<Environment>;
}

/** How a publication is sent. */
export interface PublishOptions {
  /** Gives up when it is aborted. */
  signal?: AbortSignal;
  /** Gives up after so many seconds; 0 for never. Default: 30. */
  timeoutSecs?: number;
}

/**
 * Why something did not come about. `refused`: the hub answered so. `unreachable`: no answer came.
 * `timeout`: none came in time. `aborted`: a signal said so. `token`: the token could not be fetched.
 * After all but `refused` and `token`, what was published may have reached the hub nevertheless.
 */
export type ErrorCode = "refused" | "unreachable" | "timeout" | "aborted" | "token";

/** A refusal by the hub, with its problem document (RFC 9457), or what kept it from answering. */
export class HubError extends Error {
  constructor(
    /** Names the cause, for programs. */
    readonly code: ErrorCode,
    /** The HTTP status; 0 if the hub did not answer. */
    readonly status: number,
    /** Names the problem, for programs; empty if the answer held no problem document. */
    readonly type: string,
    /** A few words that are the same for all problems of the type. */
    readonly title: string,
    detail: string,
    /** After how many milliseconds the hub asks to try again. */
    readonly retryAfterMs: number | null = null,
  ) {
    super(detail);
    this.name = "HubError";
  }
}

/** What the client takes from the browser. */
export interface Environment {
  fetch: typeof fetch;
  WebSocket: typeof WebSocket | undefined;
  BroadcastChannel: typeof BroadcastChannel | undefined;
  locks: LockManager | undefined;
  storage: Storage | undefined;
  /** From 0 to 1. */
  random: () => number;
  /** Milliseconds since 1970. */
  now: () => number;
  setTimeout: (run: () => void, ms: number) => unknown;
  clearTimeout: (timer: unknown) => void;
  /** Where `online`, `offline`, `visibilitychange`, `pageshow` and `pagehide` are told. */
  events: EventTarget | undefined;
  /** Whether there may be a network. */
  isOnline: () => boolean;
  /** Whether somebody may see the page. */
  isVisible: () => boolean;
}

/** Returns what this browser offers; a part that it forbids is missing. */
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
  };
}

/** Touching the storage throws where a page may not use it. */
function storage(): Storage | undefined {
  try {
    return globalThis.localStorage;
  } catch {
    return undefined;
  }
}
