// The whole client: the core, shared connections, and updates as an async iterator.

import { connecting, type Connection } from "./connecting.js";
import { Link } from "./connection.js";
import { SharedLink } from "./tabs.js";
import type { Options } from "./types.js";

export { publish, type Connection } from "./connecting.js";
export { follow, type FollowOptions } from "./follow.js";
export { HubError } from "./types.js";
export type {
  Draft,
  Environment,
  ErrorCode,
  Gap,
  Opening,
  Options,
  PublishOptions,
  Selection,
  State,
  TokenSource,
  TransportName,
  Update,
} from "./types.js";

/**
 * Subscribes to the hub at `url`. Each matching update comes once and in order. After a lost
 * connection, the missed updates come first.
 */
export function connect(url: string | URL, options: Options): Connection;
/** The same with parsed payloads: `connect<Book>(url, { parse: JSON.parse, … })`. */
export function connect<T>(url: string | URL, options: Options<T> & { parse: (data: string) => T }): Connection;
export function connect(url: string | URL, options: Options | Options<unknown>): Connection {
  // A tab with its own cursor needs its own history, and cannot share a connection.
  const shares = options.share !== undefined && options.lastEventId === undefined;
  return connecting(url, options, (...parts) => (shares ? new SharedLink(...parts) : new Link(...parts)));
}
