// Server-Sent Events over fetch, which unlike EventSource can send a token and shows the response.

import { EventParser } from "./event-parser.js";
import { readProblem } from "./problem.js";
import { answeredCursor, requestHeaders, silence, subscriptionUrl, type Attempt, type Receiver } from "./transport.js";

const EVENT_STREAM = "text/event-stream";

/** Opens an event stream. */
export function eventStream(attempt: Attempt, receiver: Receiver): () => void {
  const abort = new AbortController();
  let done = false;
  const end: Receiver["ended"] = (ending) => {
    if (done) return;
    done = true;
    watch.stop();
    abort.abort();
    receiver.ended(ending);
  };
  const watch = silence(attempt, () => end({ kind: "lost" }));

  const read = async () => {
    const url = subscriptionUrl(attempt);
    const headers = requestHeaders(attempt, url, EVENT_STREAM);
    const answer = await attempt.environment.fetch(url, {
      headers,
      signal: abort.signal,
      cache: "no-store",
      credentials: attempt.credentials,
    });
    if (!answer.ok) return end({ kind: "refused", error: await readProblem(answer) });
    if (!answer.headers.get("Content-Type")?.startsWith(EVENT_STREAM)) return end({ kind: "unfit" });
    if (!answer.body) return end({ kind: "unfit" });
    if (done) return;
    await readBody(answer.body, answeredCursor(answer));
    end({ kind: "lost" });
  };

  const readBody = async (body: ReadableStream<Uint8Array>, answered: string | null) => {
    let opened = false;
    const parser = new EventParser(
      attempt.cursor ?? "",
      attempt.wire,
      (event) => {
        if (!done) receiver.update(event);
      },
      (ms) => receiver.retry(ms),
    );
    const decoder = new TextDecoder();
    const reader = body.getReader();
    for (;;) {
      const piece = await reader.read();
      if (piece.done || done) return;
      watch.heard();
      // The hub sends a comment at once. If it does not arrive, something is buffering the stream.
      if (!opened) receiver.opened(answered);
      opened = true;
      parser.push(decoder.decode(piece.value, { stream: true }));
    }
  };

  read().catch(() => end({ kind: "lost" }));
  return () => {
    done = true;
    watch.stop();
    abort.abort();
  };
}
