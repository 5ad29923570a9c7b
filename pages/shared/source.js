// How the pages show what comes: a connection's state in words, and drawing that keeps up with many updates.

// Shows a connection's state in an element: the word for people, `data-state` for the style sheet.
export function showState(element, state) {
  const words = {
    connecting: "Connecting…",
    open: "Connected",
    waiting: "Connection lost, trying again…",
    offline: "Offline, trying again…",
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
