// Updates as an async iterator.

import { connect, type CoreOptions } from "./core.js";
import type { HubError, Update } from "./types.js";

/**
 * Updates that may wait for the loop. Beyond that the connection is closed, and resumes when they
 * have been taken.
 */
const WAITING_MAX = 1024;

/** The options of {@link follow}. */
export type FollowOptions<T> = Omit<CoreOptions<T>, "onUpdate"> & {
  /** Ends the loop. */
  signal?: AbortSignal;
};

/**
 * Subscribes while a loop runs: `for await (const update of follow(url, { topics }))`. A loop that
 * is slower than the updates loses none: it continues from the hub's history. Throws the
 * {@link HubError} with which the hub refuses the subscription for good.
 */
export function follow(url: string | URL, options: FollowOptions<string>): AsyncGenerator<Update, void, undefined>;
/** The same with parsed payloads. */
export function follow<T>(
  url: string | URL,
  options: FollowOptions<T> & { parse: (data: string) => T },
): AsyncGenerator<Update<T>, void, undefined>;
export async function* follow(
  url: string | URL,
  { signal, ...options }: FollowOptions<unknown>,
): AsyncGenerator<Update<unknown>, void, undefined> {
  let waiting: Update<unknown>[] = [];
  let last = options.lastEventId;
  let failed: HubError | null = null;
  let wake = () => {};
  const open = () =>
    connect(url, {
      parse: (data: string): unknown => data,
      ...options,
      ...(last !== undefined && { lastEventId: last }),
      onUpdate: (update) => {
        waiting.push(update);
        last = update.id;
        if (waiting.length >= WAITING_MAX) connection.close();
        wake();
      },
      onError: (error) => {
        failed = error;
        options.onError?.(error);
      },
      onState: (state, transport) => {
        options.onState?.(state, transport);
        wake();
      },
    });
  let connection = open();
  const onAbort = () => wake();
  signal?.addEventListener("abort", onAbort);
  try {
    while (!signal?.aborted) {
      const taken = waiting;
      waiting = [];
      for (const update of taken) {
        yield update;
        if (signal?.aborted) return;
      }
      if (waiting.length > 0) continue;
      if (connection.state === "failed") throw failed;
      if (connection.state === "closed") connection = open();
      await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    signal?.removeEventListener("abort", onAbort);
    connection.close();
  }
}
