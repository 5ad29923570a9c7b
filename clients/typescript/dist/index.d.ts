import { HubError, type Draft, type Options, type State, type TransportName } from "./types.js";
export { HubError };
export type { Draft, Environment, Gap, Opening, Options, State, TokenSource, TransportName, Update } from "./types.js";
/** A subscription that is kept alive until it is closed. */
export interface Connection {
    readonly state: State;
    /** The place to resume from: keep it to begin there on the next visit. */
    readonly lastEventId: string | null;
    /** What carries it now. */
    readonly transport: TransportName | null;
    /** Publishes by the same token; returns the event id. Rejects with a {@link HubError}. */
    publish(draft: Draft): Promise<string>;
    /** Ends it. */
    close(): void;
}
/**
 * Subscribes to the hub at `url`. Each update that matches comes once and in order; what was missed
 * while the connection was lost comes first when it is back.
 */
export declare function connect(url: string | URL, options: Options): Connection;
/**
 * Publishes to the hub at `url` without a connection; returns the event id. Rejects with a
 * {@link HubError}, whose status is 0 if the hub could not be reached.
 */
export declare function publish(url: string | URL, draft: Draft, options?: Pick<Options, "token" | "withCredentials" | "environment">): Promise<string>;
