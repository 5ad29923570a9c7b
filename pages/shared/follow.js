// Everything that was published, and everything that will be, each once: tabs share one connection, and each reads the
// past by itself.
//
//   connect ─► live updates wait ─────────────► told
//        └─► read the past, page by page ─► told ┘

import { connect } from "/tidings.mjs";

const IDS_MAX = 20000; // remembered, to leave out what came both ways
const WAITING_MAX = 5000; // live updates that wait; older ones are in the past that is still to be read
const AGAIN_MS = 1000; // after the past could not be read

// Tells `onUpdate` of each update, `onPast` once when all that was kept is there, `onState` how the connection stands, and
// `onDoubled` of an update that the connection brought twice. Other options are those of `connect`; `selection` is what of
// the past is read, if that is less.
export function followAll(url, { onUpdate, onState = () => {}, onPast = () => {}, onDoubled = () => {}, selection, ...options }) {
  const known = new Map(); // event id → whether the connection brought it
  let waiting = []; // null once the past is there
  let reading = false;
  let timer;

  const tell = (update, live) => {
    const before = known.get(update.id);
    if (before && live) onDoubled(update);
    known.set(update.id, live);
    if (known.size > IDS_MAX) known.delete(known.keys().next().value);
    if (before === undefined) onUpdate(update);
  };

  // Connected first: what is published while the past is read comes at least once.
  const read = async () => {
    if (reading || waiting === null) return;
    reading = true;
    try {
      for await (const update of past(url, selection ?? options)) tell(update, false);
      for (const update of waiting) tell(update, true);
      waiting = null;
      onPast();
    } catch {
      timer = setTimeout(read, AGAIN_MS);
    }
    reading = false;
  };

  const connection = connect(url, {
    ...options,
    onUpdate(update) {
      if (waiting === null) return tell(update, true);
      waiting.push(update);
      if (waiting.length > WAITING_MAX) waiting.shift();
    },
    onState(state) {
      onState(state);
      if (state === "open") void read();
    },
  });
  return {
    close() {
      clearTimeout(timer);
      waiting = null;
      connection.close();
    },
  };
}

// Reads what the hub has kept, oldest first.
async function* past(url, { topics = [], patterns = [] }) {
  const address = new URL(url, location.href);
  for (const topic of [topics].flat()) address.searchParams.append("match", topic);
  for (const pattern of [patterns].flat()) address.searchParams.append("match_urlpattern", pattern);
  for (let cursor = "earliest"; ; ) {
    address.searchParams.set("last_event_id", cursor);
    const headers = { Accept: "application/json", Prefer: "wait=0" };
    const answer = await fetch(address, { headers, cache: "no-store" });
    if (!answer.ok) throw new Error(`the hub answered ${answer.status}`);
    const { updates, last_event_id } = await answer.json();
    for (const { id, type = "message", data, topics } of updates) yield { id, type, data, topics };
    if (updates.length === 0) return;
    cursor = last_event_id;
  }
}
