// Server-Sent Events over fetch, which unlike EventSource can send a token and shows the response.

import { EventParser } from "./event-parser.js";
import { answeredCursor, asking, type Attempt, type Carrier, type Receiver } from "./transport.js";

/** Opens an event stream. */
export function eventStream(attempt: Attempt, receiver: Receiver): Carrier {
  return asking(attempt, receiver, async ({ ask, heard, isDone, end }) => {
    const answer = await ask("text/event-stream", attempt.cursor);
    if (!answer) return;
    let opened = false;
    const parser = new EventParser(
      attempt.cursor ?? "",
      attempt.wire,
      (event) => {
        if (!isDone()) receiver.update(event);
      },
      (ms) => receiver.retry(ms),
    );
    const decoder = new TextDecoder();
    const reader = (answer.body as ReadableStream<Uint8Array>).getReader();
    for (;;) {
      const piece = await reader.read();
      if (piece.done || isDone()) return end({ kind: "lost" });
      heard();
      // The hub sends a comment at once. If it does not arrive, something is buffering the stream.
      if (!opened) receiver.opened(answeredCursor(answer));
      opened = true;
      parser.push(decoder.decode(piece.value, { stream: true }));
    }
  });
}
