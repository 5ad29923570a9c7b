// An EventSource that does not give up, and hands on no event twice.
//
// After a broken connection the browser reconnects by itself and names the last event it saw, so the hub sends what was
// missed. It gives up when something answers that is no event stream (a proxy's 502, a 503 while the hub starts): then a
// new EventSource is opened, after the last event seen.

const WAIT_MS_MIN = 1000;
const WAIT_MS_MAX = 30000;
const IDS_KEPT_MAX = 20000;

// `name` is the event's name on the wire. `onState` gets "connecting", "open" or "waiting".
export function follow(address, name, { onEvent, onState }) {
  const ids = new Set();
  let lastEventId = "";
  let doubled = 0;
  let waitMs = WAIT_MS_MIN;
  let source;
  let timer;

  function open() {
    const url = new URL(address, location.href);
    if (lastEventId) url.searchParams.set("last_event_id", lastEventId);
    onState("connecting");
    source = new EventSource(url);
    source.addEventListener("open", onOpen);
    source.addEventListener("error", onError);
    source.addEventListener(name, onArrival);
  }

  function onOpen() {
    waitMs = WAIT_MS_MIN;
    onState("open");
  }

  function onArrival(event) {
    lastEventId = event.lastEventId;
    if (lastEventId) {
      if (ids.has(lastEventId)) {
        doubled += 1;
        return;
      }
      ids.add(lastEventId);
      // A Set remembers the order of insertion: the first is the oldest.
      if (ids.size > IDS_KEPT_MAX) ids.delete(ids.values().next().value);
    }
    onEvent(event);
  }

  function onError() {
    onState("waiting");
    if (source.readyState !== EventSource.CLOSED) return;
    timer = setTimeout(open, waitMs);
    waitMs = Math.min(waitMs * 2, WAIT_MS_MAX);
  }

  open();
  return {
    close() {
      clearTimeout(timer);
      source.close();
    },
    has: (id) => ids.has(id),
    get doubled() {
      return doubled;
    },
  };
}

// Shows a connection's state in an element: the word for people, `data-state` for the style sheet.
export function showState(element, state) {
  const words = {
    connecting: "Connecting…",
    open: "Connected",
    waiting: "Connection lost, trying again…",
    closed: "Not connected",
    failed: "Refused",
  };
  if (element.dataset.state === state) return;
  element.dataset.state = state;
  element.textContent = words[state];
}

// Calls `draw` once before the next frame, however often it is asked. A hidden page has no frames: there a timer serves.
export function oncePerFrame(draw) {
  let asked = false;
  const run = () => {
    if (!asked) return;
    asked = false;
    draw();
  };
  return () => {
    if (asked) return;
    asked = true;
    if (document.hidden) setTimeout(run, 50);
    else requestAnimationFrame(run);
    // A page that is hidden between the request and the frame would wait until somebody looks at it.
    setTimeout(run, 500);
  };
}
