// Long polling: requests one after another. Each is answered when there are updates, or after a
// while.

import { readProblem } from "./problem.js";
import { answeredCursor, requestHeaders, silence, subscriptionUrl, type Attempt, type Receiver } from "./transport.js";
import type { Update } from "./types.js";

const JSON_TYPE = "application/json";
/**
 * Seconds for which the hub may hold a request. This is shorter than the usual timeout of proxies.
 */
const WAIT_SECS_MAX = 25;

interface Answer {
  updates: (Update & { type?: string })[];
  last_event_id: string;
}

/** Polls repeatedly. */
export function longPoll(attempt: Attempt, receiver: Receiver): () => void {
  const abort = new AbortController();
  let done = false;
  let cursor = attempt.cursor;
  let first = true;
  const end: Receiver["ended"] = (ending) => {
    if (done) return;
    done = true;
    watch.stop();
    abort.abort();
    receiver.ended(ending);
  };
  const watch = silence(attempt, () => end({ kind: "lost" }));

  const ask = async (waitSecs: number): Promise<boolean> => {
    const url = subscriptionUrl(attempt);
    const headers = requestHeaders({ ...attempt, cursor }, url, JSON_TYPE);
    headers["Prefer"] = `wait=${waitSecs}`;
    const answer = await attempt.environment.fetch(url, {
      headers,
      signal: abort.signal,
      cache: "no-store",
      credentials: attempt.credentials,
    });
    if (!answer.ok) {
      end({ kind: "refused", error: await readProblem(answer) });
      return false;
    }
    if (!answer.headers.get("Content-Type")?.startsWith(JSON_TYPE)) {
      end({ kind: "unfit" });
      return false;
    }
    return onAnswer(answeredCursor(answer), (await answer.json()) as Answer);
  };

  /** Returns whether there were updates. */
  const onAnswer = (answered: string | null, { updates, last_event_id }: Answer): boolean => {
    if (done) return false;
    watch.heard();
    // Each request has a cursor, and the hub may not know it any more.
    if (first || answered !== cursor) receiver.opened(answered);
    first = false;
    for (const update of updates) {
      if (done) return true;
      const { id, type, data, topics } = update;
      const wire = attempt.wire && { wire: JSON.stringify(update) };
      receiver.update({ id, type: type ?? "message", data, ...(topics && { topics }), ...wire });
    }
    cursor = last_event_id;
    receiver.cursor(last_event_id);
    return updates.length > 0;
  };

  const run = async () => {
    // The first response comes at once, and shows that the transport works.
    await ask(0);
    const waitSecs = Math.min(WAIT_SECS_MAX, Math.max(1, Math.floor(attempt.silenceMs / 2000) || WAIT_SECS_MAX));
    while (!done) {
      let waited = false;
      const timer = attempt.environment.setTimeout(() => (waited = true), waitSecs * 500);
      const came = await ask(waitSecs);
      attempt.environment.clearTimeout(timer);
      // An early response without updates: the hub is stopping. Polling again at once would flood
      // it.
      if (!came && !waited) end({ kind: "lost" });
    }
  };

  run().catch(() => end({ kind: "lost" }));
  return () => {
    done = true;
    watch.stop();
    abort.abort();
  };
}
