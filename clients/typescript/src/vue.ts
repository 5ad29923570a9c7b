// A composable for Vue that connects while a scope, such as a component, is active.

import { onScopeDispose, shallowRef, toValue, watch, type MaybeRefOrGetter, type ShallowRef } from "vue";
import { connect, type Connection, type Draft, type HubError, type Options, type PublishOptions, type State, type TransportName, type Update } from "./index.js";

/** The result of {@link useTidings}. */
export interface Tidings<T> {
  readonly state: Readonly<ShallowRef<State>>;
  readonly transport: Readonly<ShallowRef<TransportName | null>>;
  /** The latest update. Use {@link Options.onUpdate} to see each one. */
  readonly update: Readonly<ShallowRef<Update<T> | null>>;
  /** The last refusal, until a connection is open again. */
  readonly error: Readonly<ShallowRef<HubError | null>>;
  /** Publishes with the connection's token. */
  publish(draft: Draft, options?: PublishOptions): Promise<string>;
}

/**
 * Subscribes while the scope is active. It reconnects when the dependencies of `url` or `options`
 * change. With `null` as the url it does not connect.
 */
export function useTidings(url: MaybeRefOrGetter<string | URL | null>, options: MaybeRefOrGetter<Options>): Tidings<string>;
/** The same with parsed payloads. */
export function useTidings<T>(
  url: MaybeRefOrGetter<string | URL | null>,
  options: MaybeRefOrGetter<Options<T> & { parse: (data: string) => T }>,
): Tidings<T>;
export function useTidings(
  url: MaybeRefOrGetter<string | URL | null>,
  options: MaybeRefOrGetter<Options | Options<unknown>>,
): Tidings<unknown> {
  const state = shallowRef<State>("closed");
  const transport = shallowRef<TransportName | null>(null);
  const update = shallowRef<Update<unknown> | null>(null);
  const error = shallowRef<HubError | null>(null);
  let connection: Connection | null = null;

  const open = (address: string | URL, wanted: Options<unknown>) =>
    connect<unknown>(address, {
      ...wanted,
      parse: (data) => (wanted.parse ? wanted.parse(data) : data),
      onUpdate: (arrived) => {
        update.value = arrived;
        wanted.onUpdate?.(arrived);
      },
      onState: (now, by) => {
        state.value = now;
        transport.value = by;
        if (now === "open") error.value = null;
        wanted.onState?.(now, by);
      },
      onError: (refusal) => {
        error.value = refusal;
        wanted.onError?.(refusal);
      },
    });
  const close = () => {
    connection?.close();
    connection = null;
  };
  watch(
    () => [toValue(url), toValue(options)] as const,
    ([address, wanted]) => {
      close();
      update.value = null;
      error.value = null;
      // Not while a server renders the component.
      if (address !== null && typeof document !== "undefined") connection = open(address, wanted as Options<unknown>);
    },
    { immediate: true },
  );
  onScopeDispose(close);

  const publish = (draft: Draft, more?: PublishOptions) => {
    if (!connection) return Promise.reject(new TypeError("nothing is connected"));
    return connection.publish(draft, more);
  };
  return { state, transport, update, error, publish };
}
