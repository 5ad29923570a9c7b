import { type Draft, type Environment } from "./types.js";
/** Publishes an update and returns its event id. Throws a {@link HubError} if the hub refuses. */
export declare function publish(url: URL, draft: Draft, token: string | null, withCredentials: boolean, environment: Environment): Promise<string>;
