import type { Environment, TransportName } from "./types.js";
/**
 * Goes through the transports in their order. One that does not pass is left out from then on; one
 * that was only lost gets its turn again, so that a hub that is away for a moment changes nothing.
 */
export declare class Choice {
    #private;
    constructor(names: readonly TransportName[], origin: string, environment: Environment);
    /** The transport that is used, or tried now. */
    get current(): TransportName;
    /** Goes on to the next one; returns whether all were tried. */
    next(why: "lost" | "unfit"): boolean;
    /** The current one works. */
    keep(): void;
    /** The current one worked and was cut: the first that passes is tried again. */
    restart(): void;
}
