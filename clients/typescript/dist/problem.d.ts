import { HubError } from "./types.js";
/** Reads the problem document of an answer (RFC 9457); without one, the status has to say it. */
export declare function readProblem(answer: Response): Promise<HubError>;
/** Makes an error of a problem document. */
export declare function problem(status: number, document: object | null, retryAfterMs: number | null): HubError;
/** Returns whether asking again in the same way can help: the hub or its proxy is busy or away. */
export declare function isPassing(status: number): boolean;
