import { HubError, type Environment, type Gap, type Opening, type Options, type State, type TransportName, type Update } from "./types.js";
/** What a {@link Link} tells. */
export interface Listener {
    onUpdate(update: Update): void;
    onOpen(opening: Opening): void;
    onGap(gap: Gap): void;
    onState(state: State, transport: TransportName | null): void;
    onError(error: HubError): void;
    /** The place to resume from moved without an update. */
    onCursor(cursor: string): void;
}
/** Keeps one subscription alive. */
export declare class Link {
    #private;
    cursor: string | null;
    state: State;
    constructor(url: URL, options: Options, listener: Listener, environment: Environment);
    get transport(): TransportName | null;
    /** Connects; once. */
    start(): void;
    /** Ends it for good. */
    close(): void;
}
/** Returns one or many as many. */
export declare function list(texts: string | readonly string[] | undefined): readonly string[];
