import { type Attempt, type Receiver } from "./transport.js";
/** Opens an event stream. */
export declare function eventStream(attempt: Attempt, receiver: Receiver): () => void;
