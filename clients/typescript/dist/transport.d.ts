import type { Environment, HubError, Update } from "./types.js";
/** What one connection is opened with. */
export interface Attempt {
    readonly url: URL;
    readonly topics: readonly string[];
    readonly patterns: readonly string[];
    readonly cursor: string | null;
    readonly token: string | null;
    readonly credentials: RequestCredentials;
    readonly silenceMs: number;
    /** Whether each update keeps what was sent. */
    readonly wire: boolean;
    readonly environment: Environment;
}
/** How a connection ended. */
export type Ending = 
/** It was cut, or never came about. */
{
    readonly kind: "lost";
}
/** The hub said no. */
 | {
    readonly kind: "refused";
    readonly error: HubError;
}
/** This transport does not exist in this browser, or not on this hub. */
 | {
    readonly kind: "unfit";
};
/** Who is told what comes. Nothing is told after the end, nor after the connection was closed. */
export interface Receiver {
    /** The hub answered: `answered` is the cursor that it begins after. */
    opened(answered: string | null): void;
    update(update: Update): void;
    /** The place to resume from moved without an update. */
    cursor(id: string): void;
    /** How long the hub asks to wait before connecting again. */
    retry(ms: number): void;
    ended(ending: Ending): void;
}
/** Opens a connection; what it returns closes it. */
export type Transport = (attempt: Attempt, receiver: Receiver) => () => void;
/** Returns the address of a subscription. */
export declare function subscriptionUrl(attempt: Attempt): URL;
/** Returns the header fields of a request, and puts a cursor that no field can carry into `url`. */
export declare function requestHeaders(attempt: Attempt, url: URL, accept: string): Record<string, string>;
/** Returns the cursor that an answer begins after. Browsers read a field's bytes as Latin-1, the hub writes UTF-8. */
export declare function answeredCursor(answer: Response): string | null;
/** Watches for silence: `heard` begins the time anew, `stop` ends it. */
export declare function silence(attempt: Attempt, onSilence: () => void): {
    heard(): void;
    stop(): void;
};
