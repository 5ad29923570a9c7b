import { type Attempt, type Receiver } from "./transport.js";
/** Asks again and again. */
export declare function longPoll(attempt: Attempt, receiver: Receiver): () => void;
