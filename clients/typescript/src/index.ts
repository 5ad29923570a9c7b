// The client: subscribes over any transport that works, resumes without loss, and reports gaps.

import { Link, list, type Listener } from "./connection.js";
import { publish as post } from "./publish.js";
import { SharedLink } from "./tabs.js";
import { browser, HubError, type Draft, type Options, type PublishOptions, type State, type TransportName } from "./types.js";

export { HubError };
export type {
  Draft,
  Environment,
  ErrorCode,
  Gap,
  Opening,
  Options,
  PublishOptions,
  State,
  TokenSource,
  TransportName,
  Update,
} from "./types.js";

/** A subscription that stays connected until it is closed. */
export interface Connection {
  readonly state: State;
  /** The cursor to resume from. Store it to continue there on the next visit. */
  readonly lastEventId: string | null;
  /** The current transport. */
  readonly transport: TransportName | null;
  /** Publishes with the same token and returns the event id. Rejects with a {@link HubError}. */
  publish(draft: Draft, options?: PublishOptions): Promise<string>;
  /** Closes the subscription. */
  close(): void;
}

/**
 * Subscribes to the hub at `url`. Each matching update comes once and in order. After a lost
 * connection, the missed updates come first.
 */
export function connect(url: string | URL, options: Options): Connection {
  const hub = resolved(url);
  if (list(options.topics).length + list(options.patterns).length === 0) {
    throw new TypeError("connect needs topics or patterns to subscribe to; `*` is everything");
  }
  const environment = { ...browser(), ...options.environment };
  const listener: Listener = {
    onUpdate: options.onUpdate,
    onOpen: (opening) => options.onOpen?.(opening),
    onGap: (gap) => options.onGap?.(gap),
    onState: (state, transport) => options.onState?.(state, transport),
    onError: (error) => options.onError?.(error),
    onCursor: () => {},
  };
  // A tab with its own cursor needs its own history, and cannot share a connection.
  const shares = options.share !== undefined && options.lastEventId === undefined;
  const link = shares
    ? new SharedLink(hub, options, listener, environment)
    : new Link(hub, options, listener, environment);
  // Deferred, so that the caller has the return value before any callback runs.
  void Promise.resolve().then(() => {
    if (link.state !== "closed") link.start();
  });
  return {
    get state() {
      return link.state;
    },
    get lastEventId() {
      return link.cursor;
    },
    get transport() {
      return link.transport;
    },
    publish: (draft, more) => post(hub, draft, { ...options, ...more }, environment),
    close: () => link.close(),
  };
}

/**
 * Publishes to the hub at `url` without a subscription and returns the event id. Rejects with a
 * {@link HubError}, whose `code` names the cause.
 */
export async function publish(
  url: string | URL,
  draft: Draft,
  options: PublishOptions & Pick<Options, "token" | "withCredentials" | "environment"> = {},
): Promise<string> {
  return post(resolved(url), draft, options, { ...browser(), ...options.environment });
}

function resolved(url: string | URL): URL {
  return new URL(url, typeof location === "undefined" ? undefined : location.href);
}
