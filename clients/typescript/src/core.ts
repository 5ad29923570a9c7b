// The client without shared connections: subscribes over any transport that works, resumes without
// loss, and reports gaps.

import { connecting, type Connection } from "./connecting.js";
import { Link } from "./connection.js";
import type { Options } from "./types.js";

export { publish, type Connection } from "./connecting.js";
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

/** The options of {@link connect} in the core: all but `share`. */
export type CoreOptions<T = string> = Omit<Options<T>, "share">;

/**
 * Subscribes to the hub at `url`. Each update that matches comes once and in order; what was missed
 * while the connection was lost comes first when it is back.
 */
export function connect(url: string | URL, options: CoreOptions): Connection;
/** The same with parsed payloads: `connect<Book>(url, { parse: JSON.parse, … })`. */
export function connect<T>(url: string | URL, options: CoreOptions<T> & { parse: (data: string) => T }): Connection;
export function connect(url: string | URL, options: CoreOptions | CoreOptions<unknown>): Connection {
  return connecting(url, options, (...parts) => new Link(...parts));
}
