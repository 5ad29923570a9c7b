import { type Listener } from "./connection.js";
import type { Environment, Options, State, TransportName } from "./types.js";
/** Returns whether this browser lets tabs share. */
export declare function canShare(environment: Environment): boolean;
/** A subscription that one of several tabs keeps. */
export declare class SharedLink {
    #private;
    cursor: string | null;
    state: State;
    transport: TransportName | null;
    constructor(url: URL, options: Options, listener: Listener, environment: Environment);
    /** Takes part; the first tab, or the next one after it is gone, connects. */
    start(): void;
    close(): void;
}
