// The debugger: subscribe, publish, read tokens, and see every event with its id and timing. The drop test is in drop.js,
// tokens are read in token.js.

import { prepareDropTest } from "./drop.js";
import { describeToken, makeToken, readToken } from "./token.js";
import { describe, devSettings } from "/shared/hub.js";
import { oncePerFrame, showState } from "/shared/source.js";
import { connect, publish } from "/tidings.mjs";

const SHOWN_MAX = 200; // events in the list; older ones leave it
const OWN_MAX = 1000; // own publishes whose time is remembered

const element = (id) => document.querySelector(`#${id}`);
const [subscribing, publishing, making, token] = ["subscribe", "publish", "make-form", "token"].map(element);
let hub = "/.well-known/mercure";
let reading = null; // what to close: a connection of the client or an EventSource

function say(id, tone, text) {
  element(id).className = `said-by-hub ${tone}`;
  element(id).textContent = text;
}

// ---- Subscribe

function addMatcher(kind, pattern) {
  const row = element("matcher").content.cloneNode(true).firstElementChild;
  row.querySelector("select").value = kind;
  row.querySelector("input").value = pattern;
  row.querySelector(".remove").addEventListener("click", () => {
    row.remove();
    element("add-matcher").focus();
  });
  element("matchers").append(row);
  return row;
}

element("add-matcher").addEventListener("click", () => addMatcher("match", "").querySelector("input").focus());
addMatcher("match", "/demo");

subscribing.addEventListener("submit", (event) => {
  event.preventDefault();
  subscribe();
});

element("earliest").addEventListener("click", () => {
  subscribing.cursor.value = "earliest";
  if (subscribing.reportValidity()) subscribe();
});

element("unsubscribe").addEventListener("click", () => {
  reading?.close();
  reading = null;
  showState(element("state"), "closed");
  element("unsubscribe").disabled = true;
});

function subscribe() {
  reading?.close();
  const url = new URL(hub, location.href);
  for (const row of element("matchers").children) {
    url.searchParams.append(row.querySelector("select").value, row.querySelector("input").value);
  }
  const cursor = subscribing.cursor.value.trim();
  if (cursor) url.searchParams.append("last_event_id", cursor);
  element("request").textContent = `GET ${url.pathname}${decodeURIComponent(url.search)}`;
  element("answered").textContent = "–";
  element("gap").textContent = "–";
  say("subscribe-said", "", "");
  element("unsubscribe").disabled = false;
  const reader = subscribing.reader.value;
  reading = reader === "eventsource" ? readByEventSource(url) : readByClient(reader, cursor);
}

function readByClient(transport, cursor) {
  const rows = [...element("matchers").children];
  const written = (kind) =>
    rows.filter((row) => row.querySelector("select").value === kind).map((row) => row.querySelector("input").value);
  const presented = token.value.trim();
  return connect(hub, {
    topics: written("match"),
    patterns: written("match_urlpattern"),
    transports: [transport],
    wire: true,
    ...(presented && { token: presented }),
    ...(cursor && { lastEventId: cursor }),
    onState: (state) => showState(element("state"), state),
    onOpen: ({ asked, answered }) => showAnswer(asked, answered),
    onUpdate: onArrival,
    onError: (error) => say("subscribe-said", "bad", describe(error)),
  });
}

// An EventSource hands on only event names it was told to listen to, and shows no fields of the answer.
function readByEventSource(url) {
  element("answered").textContent = "EventSource does not show it";
  element("gap").textContent = "EventSource cannot tell";
  const source = new EventSource(url);
  showState(element("state"), "connecting");
  source.addEventListener("open", () => showState(element("state"), "open"));
  source.addEventListener("error", () => {
    showState(element("state"), source.readyState === EventSource.CLOSED ? "failed" : "waiting");
  });
  source.addEventListener("message", (event) => onArrival({ id: event.lastEventId, type: event.type, data: event.data }));
  return source;
}

function showAnswer(asked, answered) {
  say("subscribe-said", "", "");
  element("answered").textContent = answered ?? "not sent";
  if (!asked) element("gap").textContent = "no event id was asked for";
  else if (asked === "earliest") element("gap").textContent = "none: all that is kept was asked for";
  else if (answered === asked) element("gap").textContent = "none: the hub goes on after the id asked for";
  else element("gap").textContent = "yes: the hub does not know this id (any more) and sends all that it has kept";
}

// ---- Events

const arrived = []; // not drawn yet
const published = new Map(); // event id → when publishing began, for the latency of own events
let count = 0;

function onArrival(event) {
  count += 1;
  arrived.push({ ...event, at: performance.now(), time: new Date() });
  if (arrived.length > SHOWN_MAX) arrived.shift();
  drawEvents();
}

const drawEvents = oncePerFrame(() => {
  const list = element("events");
  list.prepend(...arrived.splice(0).reverse().map(eventItem));
  while (list.children.length > SHOWN_MAX) list.lastElementChild.remove();
  element("no-events").hidden = count > 0;
  const shown = list.children.length;
  element("count").textContent = shown < count ? `${count} received, the last ${shown} shown` : `${count} received`;
});

function eventItem(event) {
  const item = element("event").content.cloneNode(true).firstElementChild;
  const part = (name) => item.querySelector(name);
  part(".at").textContent = clock(event.time);
  part(".type").textContent = event.type;
  part(".id code").textContent = event.id || "no id";
  part(".data").textContent = event.data;
  part(".wire").textContent = event.wire || "EventSource does not show what was sent";
  item.dataset.id = event.id;
  item.arrivedAt = event.at;
  showLatency(item);
  return item;
}

function showLatency(item) {
  const began = published.get(item.dataset.id);
  if (began === undefined) return;
  item.querySelector(".latency").textContent = `${(item.arrivedAt - began).toFixed(1)} ms after publishing`;
}

function clock(time) {
  const two = (value) => String(value).padStart(2, "0");
  const ms = String(time.getMilliseconds()).padStart(3, "0");
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${ms}`;
}

element("raw").addEventListener("change", (event) => element("events").classList.toggle("raw", event.target.checked));
element("clear").addEventListener("click", () => {
  element("events").replaceChildren();
  arrived.length = 0;
  count = 0;
  element("count").textContent = "0 received";
  element("no-events").hidden = false;
});

// ---- Publish

publishing.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData(publishing);
  const topics = form.get("topics").split("\n").map((topic) => topic.trim()).filter(Boolean);
  const draft = { topic: topics, data: form.get("data"), private: form.has("private") };
  for (const name of ["id", "type", "retry"]) {
    if (form.get(name)) draft[name] = form.get(name);
  }
  const presented = token.value.trim();
  const began = performance.now();
  try {
    const id = await publish(hub, draft, presented ? { token: presented } : {});
    const took = performance.now() - began;
    remember(id, began);
    say("publish-said", "good", `Published in ${took.toFixed(1)} ms as ${id}`);
  } catch (error) {
    say("publish-said", "bad", describe(error));
  }
});

// The event may come before the answer to its POST, or after it.
function remember(id, began) {
  published.set(id, began);
  if (published.size > OWN_MAX) published.delete(published.keys().next().value);
  for (const item of element("events").children) {
    if (item.dataset.id === id) showLatency(item);
  }
}

// ---- Token

token.addEventListener("input", showToken);

function showToken() {
  const text = token.value.trim();
  const found = readToken(text);
  const { tone, words } = describeToken(text, found, Date.now() / 1000);
  say("token-said", tone, words);
  element("token-parts").hidden = !found;
  element("token-header").textContent = found ? JSON.stringify(found.header, null, 2) : "";
  element("token-claims").textContent = found ? JSON.stringify(found.claims, null, 2) : "";
}

making.addEventListener("submit", (event) => {
  event.preventDefault();
  make();
});

async function make() {
  const form = new FormData(making);
  const matchers = (text) =>
    text.split(/\s+/).filter(Boolean).map((match) => ({ match, match_type: form.get("match_type") }));
  try {
    token.value = await makeToken({
      publish: matchers(form.get("publish")),
      subscribe: matchers(form.get("subscribe")),
      ttl_secs: Number(form.get("ttl")),
    });
    say("make-said", "good", "Made, and put into the field above.");
  } catch (error) {
    say("make-said", "bad", error.message);
  }
  showToken();
}

// ---- Start

prepareDropTest({ hub: () => hub, token: () => token.value.trim() });

const settings = await devSettings();
if (settings) {
  hub = settings.hub;
  await make();
  say("make-said", "", "");
} else {
  element("make").hidden = true;
}
document.documentElement.dataset.ready = "true";
