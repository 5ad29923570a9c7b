/** Grows with each failure. The pauses are spread, or all visitors would come back in one moment. */
export declare class Backoff {
    #private;
    constructor(random: () => number);
    /** Takes what the hub asks for as the shortest pause (`retry` of an event stream). */
    asked(ms: number): void;
    /** Begins anew: the connection works. */
    reset(): void;
    /** Returns the next pause in milliseconds; at least `atLeastMs`, which a refusal may ask for. */
    next(atLeastMs?: number): number;
}
