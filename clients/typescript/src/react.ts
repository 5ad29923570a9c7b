// A hook for React that connects while a component is mounted.

import { useCallback, useEffect, useRef, useState } from "react";
import { connect, type Connection, type Draft, type HubError, type Options, type PublishOptions, type State, type TransportName, type Update } from "./index.js";

/** The result of {@link useTidings}. */
export interface Tidings<T> {
  readonly state: State;
  readonly transport: TransportName | null;
  /** The latest update. Use {@link Options.onUpdate} to see each one. */
  readonly update: Update<T> | null;
  /** The last refusal, until a connection is open again. */
  readonly error: HubError | null;
  /** Publishes with the connection's token. */
  publish(draft: Draft, options?: PublishOptions): Promise<string>;
}

/**
 * Subscribes while the component is mounted. It reconnects when the url or a value in `options`
 * changes; functions may change with each rendering. With `null` as the url it does not connect.
 */
export function useTidings(url: string | URL | null, options: Options): Tidings<string>;
/** The same with parsed payloads. */
export function useTidings<T>(url: string | URL | null, options: Options<T> & { parse: (data: string) => T }): Tidings<T>;
export function useTidings(url: string | URL | null, options: Options | Options<unknown>): Tidings<unknown> {
  const [state, setState] = useState<Omit<Tidings<unknown>, "publish">>(NOTHING);
  const newest = useRef(options);
  const connection = useRef<Connection | null>(null);
  useEffect(() => {
    newest.current = options;
  });
  const address = url === null ? null : String(url);
  // Functions are not part of the key: components make new ones with each rendering.
  const { environment: _, ...values } = options;
  const key = JSON.stringify(values);
  useEffect(() => {
    if (address === null) return;
    const own = (change: Partial<Tidings<unknown>>) => setState((before) => ({ ...before, ...change }));
    const opened = connect<unknown>(address, {
      ...(newest.current as Options<unknown>),
      parse: (data) => (newest.current.parse ? newest.current.parse(data) : data),
      ...(typeof newest.current.token === "function" && {
        token: () => (newest.current.token as () => string | Promise<string>)(),
      }),
      onUpdate: (update) => {
        own({ update });
        (newest.current as Options<unknown>).onUpdate?.(update);
      },
      onState: (state, transport) => {
        own({ state, transport, ...(state === "open" && { error: null }) });
        newest.current.onState?.(state, transport);
      },
      onError: (error) => {
        own({ error });
        newest.current.onError?.(error);
      },
      onGap: (gap) => newest.current.onGap?.(gap),
      onOpen: (opening) => newest.current.onOpen?.(opening),
      ...(newest.current.onKeepAlive && { onKeepAlive: () => newest.current.onKeepAlive?.() }),
    });
    connection.current = opened;
    return () => {
      connection.current = null;
      opened.close();
      setState(NOTHING);
    };
  }, [address, key]);
  const publish = useCallback((draft: Draft, more?: PublishOptions) => {
    if (!connection.current) return Promise.reject(new TypeError("nothing is connected"));
    return connection.current.publish(draft, more);
  }, []);
  return { ...state, publish };
}

const NOTHING: Omit<Tidings<unknown>, "publish"> = { state: "closed", transport: null, update: null, error: null };
