// The hub's WebSocket with JSON frames, as described in docs/reference/websocket.md.

import { problem } from "./problem.js";
import { silence, type Attempt, type Receiver } from "./transport.js";
import type { Update } from "./types.js";

/** The reference of the request whose response confirms the subscription. */
const SUBSCRIBE = "subscribe";

interface Frame {
  open?: { last_event_id: string };
  update?: Update & { type?: string };
  ack?: { last_event_id?: string };
  error?: { status?: number };
  caught_up?: { last_event_id: string };
  ref?: string;
}

/** Opens a WebSocket. */
export function webSocket(attempt: Attempt, receiver: Receiver): () => void {
  const { environment } = attempt;
  const url = new URL(attempt.url);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  let socket: WebSocket;
  try {
    // This throws without WebSocket support, or where a page may not open one.
    socket = new (environment.WebSocket as typeof WebSocket)(url);
  } catch {
    const timer = environment.setTimeout(() => receiver.ended({ kind: "unfit" }), 0);
    return () => environment.clearTimeout(timer);
  }
  let done = false;
  let asked = false;
  const stop = () => {
    done = true;
    watch.stop();
    socket.close();
  };
  const end: Receiver["ended"] = (ending) => {
    if (done) return;
    stop();
    receiver.ended(ending);
  };
  const send = (frame: object) => socket.send(JSON.stringify(frame));
  // The browser hides the hub's pings, so we send our own after half of the silence.
  let pinged = false;
  const half = { ...attempt, silenceMs: attempt.silenceMs / 2 };
  const watch = silence(half, () => {
    if (pinged || !asked) return end({ kind: "lost" });
    pinged = true;
    send({ ping: {} });
    watch.heard();
  });

  const onFrame = (frame: Frame, wire: string) => {
    if (frame.open) {
      if (attempt.token !== null) send({ authenticate: { token: attempt.token } });
      const subscribe: Record<string, unknown> = {};
      if (attempt.topics.length > 0) subscribe["match"] = attempt.topics;
      if (attempt.patterns.length > 0) subscribe["match_urlpattern"] = attempt.patterns;
      if (attempt.cursor !== null) subscribe["last_event_id"] = attempt.cursor;
      send({ subscribe, ref: SUBSCRIBE });
      asked = true;
    } else if (frame.update) {
      const { id, type, data, topics } = frame.update;
      receiver.update({ id, type: type ?? "message", data, ...(topics && { topics }), ...(attempt.wire && { wire }) });
    } else if (frame.ack && frame.ref === SUBSCRIBE) {
      receiver.opened(frame.ack.last_event_id ?? null);
    } else if (frame.caught_up) {
      receiver.cursor(frame.caught_up.last_event_id);
    } else if (frame.error) {
      end({ kind: "refused", error: problem(frame.error.status ?? 500, frame.error, null) });
    }
  };

  socket.onmessage = ({ data }) => {
    if (done) return;
    pinged = false;
    watch.heard();
    let frame: Frame;
    try {
      frame = JSON.parse(data);
    } catch {
      // The peer is not a hub.
      return end({ kind: "unfit" });
    }
    onFrame(frame, data);
  };
  socket.onerror = () => end({ kind: "lost" });
  socket.onclose = () => end({ kind: "lost" });
  return stop;
}
