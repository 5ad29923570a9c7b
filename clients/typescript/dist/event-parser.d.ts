/** One dispatched event. */
export interface ParsedEvent {
    readonly id: string;
    readonly type: string;
    readonly data: string;
    /** The lines that it came in. */
    readonly wire?: string;
}
/** Takes pieces of text, and calls back for what they complete. */
export declare class EventParser {
    #private;
    constructor(id: string, wire: boolean, onEvent: (event: ParsedEvent) => void, onRetry: (ms: number) => void);
    /** Takes the next piece. Throws if an event is too long. */
    push(piece: string): void;
}
