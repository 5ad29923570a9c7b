// Long polling: requests one after another. Each is answered when there are updates, or after a
// while.

import { answeredCursor, asking, type Attempt, type Carrier, type Receiver } from "./transport.js";
import type { Update } from "./types.js";

/**
 * Seconds for which the hub may hold a request. This is shorter than the usual timeout of proxies.
 */
const WAIT_SECS_MAX = 25;

interface Answer {
  updates: (Update & { type?: string })[];
  last_event_id: string;
}

/** Polls repeatedly. */
export function longPoll(attempt: Attempt, receiver: Receiver): Carrier {
  return asking(attempt, receiver, async ({ ask, heard, isDone, end }) => {
    let cursor = attempt.cursor;
    let first = true;

    /** Returns whether there were updates. */
    const poll = async (waitSecs: number): Promise<boolean> => {
      const answer = await ask("application/json", cursor, { Prefer: `wait=${waitSecs}` });
      if (!answer) return false;
      const answered = answeredCursor(answer);
      const { updates, last_event_id } = (await answer.json()) as Answer;
      if (isDone()) return false;
      heard();
      // Each request has a cursor, and the hub may not know it any more.
      if (first || answered !== cursor) receiver.opened(answered);
      first = false;
      for (const update of updates) {
        if (isDone()) return true;
        const { id, type, data, topics } = update;
        const wire = attempt.wire && { wire: JSON.stringify(update) };
        receiver.update({ id, type: type ?? "message", data, ...(topics && { topics }), ...wire });
      }
      cursor = last_event_id;
      receiver.cursor(last_event_id);
      return updates.length > 0;
    };

    // The first response comes at once, and shows that the transport works.
    await poll(0);
    const waitSecs = Math.min(WAIT_SECS_MAX, Math.max(1, Math.floor(attempt.silenceMs / 2000) || WAIT_SECS_MAX));
    while (!isDone()) {
      let waited = false;
      const timer = attempt.environment.setTimeout(() => (waited = true), waitSecs * 500);
      const came = await poll(waitSecs);
      attempt.environment.clearTimeout(timer);
      // An early response without updates: the hub is stopping. Polling again at once would flood
      // it.
      if (!came && !waited) end({ kind: "lost" });
    }
  });
}
