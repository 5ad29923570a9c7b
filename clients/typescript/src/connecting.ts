// The connection that an application holds, and publishing without one.

import { list, type Link, type Listener } from "./connection.js";
import { failure, publish as post } from "./publish.js";
import { browser, type Draft, type Environment, type Options, type PublishOptions, type Selection, type State, type TransportName, type Update } from "./types.js";

/** A subscription that stays connected until it is closed. */
export interface Connection {
  readonly state: State;
  /** The cursor to resume from. Store it to continue there on the next visit. */
  readonly lastEventId: string | null;
  /** The current transport. */
  readonly transport: TransportName | null;
  /**
   * Adds topics and patterns; their updates start after {@link lastEventId}. A WebSocket stays open,
   * other transports reconnect. Throws a `TypeError` if tabs share the connection.
   */
  subscribe(selection: Selection): void;
  /** Removes topics and patterns. Throws a `TypeError` if none would be left. */
  unsubscribe(selection: Selection): void;
  /** Publishes with the same token and returns the event id. Rejects with a {@link HubError}. */
  publish(draft: Draft, options?: PublishOptions): Promise<string>;
  /** Closes the subscription. */
  close(): void;
}

/** Makes a connection from a link. */
export function connecting(
  url: string | URL,
  options: Options | Options<unknown>,
  makeLink: (...parts: ConstructorParameters<typeof Link>) => Pick<Link, "state" | "cursor" | "transport" | "start" | "select" | "close">,
): Connection {
  const hub = resolved(url);
  if (list(options.topics).length + list(options.patterns).length === 0) {
    throw new TypeError("connect needs topics or patterns to subscribe to; `*` is everything");
  }
  const environment: Environment = { ...browser(), ...options.environment };
  const link = makeLink(hub, options, listening(options), environment);
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
    subscribe: (selection) => link.select("subscribe", selection),
    unsubscribe: (selection) => link.select("unsubscribe", selection),
    publish: (draft, more) => post(hub, draft, { ...options, ...more }, environment),
    close: () => link.close(),
  };
}

function listening(options: Options | Options<unknown>): Listener {
  return {
    onUpdate: (update) => {
      const onUpdate = options.onUpdate as ((update: Update<unknown>) => void) | undefined;
      let { data }: { data: unknown } = update;
      try {
        if (options.parse) data = options.parse(update.data);
      } catch (error) {
        return options.onError?.(failure("data", "Payload not understood", `update ${update.id} cannot be parsed: ${error}`));
      }
      onUpdate?.({ ...update, data });
    },
    onOpen: (opening) => options.onOpen?.(opening),
    onGap: (gap) => options.onGap?.(gap),
    onState: (state, transport) => options.onState?.(state, transport),
    onError: (error) => options.onError?.(error),
    onKeepAlive: () => options.onKeepAlive?.(),
    onCursor: () => {},
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
