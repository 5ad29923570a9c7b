import { type Attempt, type Receiver } from "./transport.js";
/** Opens a WebSocket. */
export declare function webSocket(attempt: Attempt, receiver: Receiver): () => void;
