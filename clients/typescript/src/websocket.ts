// The hub's WebSocket with JSON frames, as described in docs/reference/websocket.md.

import { problem } from "./problem.js";
import { life, selecting, type Attempt, type Carrier, type Receiver } from "./transport.js";
import type { Update } from "./types.js";

/** The reference of the request whose response confirms the subscription. */
const SUBSCRIBE = "subscribe";
/** The reference of requests that add matchers later. */
const ADD = "add";

interface Frame {
  open?: { last_event_id: string };
  update?: Update & { type?: string };
  ack?: { last_event_id?: string };
  error?: { status?: number };
  caught_up?: { last_event_id: string };
  ref?: string;
}

/** Opens a WebSocket. */
export function webSocket(attempt: Attempt, receiver: Receiver): Carrier {
  const { environment } = attempt;
  const url = new URL(attempt.url);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  let socket: WebSocket;
  try {
    // This throws without WebSocket support, or where a page may not open one.
    socket = new (environment.WebSocket as typeof WebSocket)(url);
  } catch {
    const timer = environment.setTimeout(() => receiver.ended({ kind: "unfit" }), 0);
    return { close: () => environment.clearTimeout(timer) };
  }
  let asked = false;
  /** The cursors of pending additions, oldest first. Responses arrive in order. */
  const adding: (string | undefined)[] = [];
  const send = (frame: object) => socket.send(JSON.stringify(frame));
  // The browser hides the hub's pings, so we send our own after half of the silence.
  let pinged = false;
  const onSilence = () => {
    if (pinged || !asked) return false;
    pinged = true;
    send({ ping: {} });
    return true;
  };
  const { close, end, heard, isDone } = life(attempt.silenceMs / 2, attempt, receiver, () => socket.close(), onSilence);

  const onFrame = (frame: Frame, wire: string) => {
    if (frame.open) {
      if (attempt.token !== null) send({ authenticate: { token: attempt.token } });
      send({ subscribe: selecting(attempt.topics, attempt.patterns, attempt.cursor), ref: SUBSCRIBE });
      asked = true;
    } else if (frame.update) {
      const { id, type, data, topics } = frame.update;
      receiver.update({ id, type: type ?? "message", data, ...(topics && { topics }), ...(attempt.wire && { wire }) });
    } else if (frame.ack && frame.ref === SUBSCRIBE) {
      receiver.opened(frame.ack.last_event_id ?? null);
    } else if (frame.ack && frame.ref === ADD) {
      const cursor = adding.shift();
      if (cursor !== undefined && cursor !== frame.ack.last_event_id) receiver.gap(cursor);
    } else if (frame.caught_up) {
      receiver.cursor(frame.caught_up.last_event_id);
    } else if (frame.error) {
      end({ kind: "refused", error: problem(frame.error.status ?? 500, frame.error, null) });
    }
  };

  socket.onmessage = ({ data }) => {
    if (isDone()) return;
    pinged = false;
    heard();
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
  return {
    close,
    select: (change, selection) => {
      if (change === "subscribe") adding.push(selection.last_event_id);
      send({ [change]: selection, ...(change === "subscribe" && { ref: ADD }) });
    },
  };
}
