// The debugger: subscribe, publish, read tokens, and see every event with its id and timing. The list of events is in
// events.js, the drop test in drop.js, who is subscribed in subscriptions.js, links and command lines in link.js; tokens are
// read in token.js.

import { prepareDropTest } from "./drop.js";
import { Events } from "./events.js";
import { curlToPublish, curlToSubscribe, fragment, restore, topicsOf } from "./link.js";
import { prepareSubscriptions } from "./subscriptions.js";
import { describeToken, readToken } from "./token.js";
import { copyOnClick } from "/shared/copy.js";
import { describe, makeToken, settings } from "/shared/hub.js";
import { showState } from "/shared/source.js";
import { connect, publish } from "/tidings.mjs";

const ANSWER_SECS_MAX = 10; // how long publishing may take

const element = (id) => document.querySelector(`#${id}`);
const [subscribing, publishing, making, token] = ["subscribe", "publish", "make-form", "token"].map(element);
const events = new Events(element);
let hub = "/.well-known/mercure";
let found = {}; // the hub's settings
let reading = null; // what to close: a connection of the client or an EventSource

const presented = () => token.value.trim();

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
    keepLink();
  });
  element("matchers").append(row);
  return row;
}

element("add-matcher").addEventListener("click", () => addMatcher("match", "").querySelector("input").focus());

// Returns [kind, pattern] of each row.
function matchers() {
  return [...element("matchers").children].map((row) => [row.querySelector("select").value, row.querySelector("input").value]);
}

function address() {
  const url = new URL(hub, location.href);
  for (const [kind, pattern] of matchers()) url.searchParams.append(kind, pattern);
  const cursor = subscribing.cursor.value.trim();
  if (cursor) url.searchParams.append("last_event_id", cursor);
  return url;
}

subscribing.addEventListener("submit", (event) => {
  event.preventDefault();
  subscribe();
});

element("earliest").addEventListener("click", () => {
  subscribing.cursor.value = "earliest";
  keepLink();
  if (subscribing.reportValidity()) subscribe();
});

element("unsubscribe").addEventListener("click", () => {
  reading?.close();
  reading = null;
  showState(element("state"), "closed");
  element("unsubscribe").disabled = true;
  showSubscriptions();
});

function subscribe() {
  reading?.close();
  const url = address();
  element("facts").hidden = false;
  element("request").textContent = `GET ${url.pathname}${decodeURIComponent(url.search)}`;
  element("answered").textContent = "–";
  element("gap").textContent = "–";
  say("subscribe-said", "", "");
  element("unsubscribe").disabled = false;
  const reader = subscribing.reader.value;
  reading = reader === "eventsource" ? readByEventSource(url) : readByClient(reader, subscribing.cursor.value.trim());
}

function readByClient(transport, cursor) {
  const written = (wanted) => matchers().filter(([kind]) => kind === wanted).map(([, pattern]) => pattern);
  return connect(hub, {
    topics: written("match"),
    patterns: written("match_urlpattern"),
    transports: [transport],
    wire: true,
    ...(presented() && { token: presented() }),
    ...(cursor && { lastEventId: cursor }),
    onState(state) {
      showState(element("state"), state);
      if (state === "open") showSubscriptions();
    },
    onOpen: ({ asked, answered }) => showAnswer(asked, answered),
    onUpdate: (update) => events.add(update),
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
  source.addEventListener("message", (event) => events.add({ id: event.lastEventId, type: event.type, data: event.data }));
  return source;
}

function showAnswer(asked, answered) {
  say("subscribe-said", "", "");
  element("answered").textContent = answered ?? "not sent";
  if (!asked) element("gap").textContent = "no event id was asked for";
  else if (asked === "earliest") element("gap").textContent = "none: everything retained was asked for";
  else if (answered === asked) element("gap").textContent = "none: the hub continues after the id asked for";
  else element("gap").textContent = "yes: the hub does not know this id (any more) and sends everything retained";
}

// ---- Publish

publishing.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData(publishing);
  const draft = { topic: topicsOf(publishing), data: form.get("data"), private: form.has("private") };
  for (const name of ["id", "type", "retry"]) {
    if (form.get(name)) draft[name] = form.get(name);
  }
  const began = performance.now();
  say("publish-said", "", "Publishing…");
  try {
    const id = await publish(hub, draft, { timeoutSecs: ANSWER_SECS_MAX, ...(presented() && { token: presented() }) });
    const took = performance.now() - began;
    events.remember(id, began);
    say("publish-said", "good", `Published in ${took.toFixed(1)} ms as ${id}`);
  } catch (error) {
    say("publish-said", "bad", describe(error));
  }
});

// ---- Links and command lines

// The address of the page says what stands in the forms, so that it can be passed on, and survives a reload.
function keepLink() {
  history.replaceState(null, "", fragment(matchers(), subscribing, publishing));
}

for (const form of [subscribing, publishing]) form.addEventListener("input", keepLink);

copyOnClick(element("copy-link"), () => {
  keepLink();
  return location.href;
});
copyOnClick(element("copy-subscribe"), () => curlToSubscribe(address().href, presented()));
copyOnClick(element("copy-publish"), () => curlToPublish(new URL(hub, location.href).href, publishing, presented()));

// ---- Token

token.addEventListener("input", showToken);

function showToken() {
  const text = presented();
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
  const listed = (text) => text.split(/\s+/).filter(Boolean).map((match) => ({ match, match_type: form.get("match_type") }));
  try {
    token.value = await makeToken({
      publish: listed(form.get("publish")),
      subscribe: listed(form.get("subscribe")),
      ttl_secs: Number(form.get("ttl")),
    });
    say("make-said", "good", "Made, and put into the field above.");
  } catch (error) {
    say("make-said", "bad", error.message);
  }
  showToken();
}

// ---- Start

const linked = restore(location.hash, subscribing, publishing);
for (const [kind, pattern] of linked.length > 0 ? linked : [["match", "/demo"]]) addMatcher(kind, pattern);
const showSubscriptions = prepareSubscriptions({ hub: () => hub, token: presented, isOn: () => found.presence });
prepareDropTest({ hub: () => hub, token: presented });

found = await settings();
hub = found.hub ?? hub;
if (found.publisher_token) {
  await make();
  say("make-said", "", "");
} else {
  element("make").hidden = true;
}
showSubscriptions();
document.documentElement.dataset.ready = "true";
