// The chat: what is said goes to the hub by POST and comes back to everybody, the sender too, as an event named "msg".
//
// Nothing is shown before it came through the hub, so all windows show the same list in the same order.

import { People } from "./people.js";
import { followAll } from "/shared/follow.js";
import { settings } from "/shared/hub.js";
import { oncePerFrame, showState } from "/shared/source.js";

const TOPIC = "/chat";
const KEPT_MAX = 5000; // messages kept in memory
const SHOWN_STEP = 200; // list items shown, and added by "Show earlier"
const GROUP_SECS = 300; // messages of one person closer than this stand together
const ANSWER_MS_MAX = 10000; // how long sending may take
const PEOPLE_SHOWN_MAX = 12;

const element = (id) => document.querySelector(`#${id}`);
const [log, list, empty, earlier, newer, form, trouble] = ["log", "said", "empty", "earlier", "newer", "say", "trouble"].map(element);

const said = []; // { from, text, time }, oldest first
const ids = new Set(); // of the updates in `said`
let drawn = 0; // how many of `said`, from its end backwards, are in the list
let waiting = 0; // how many of `said`, at its end, are not in the list yet
let shownMax = SHOWN_STEP;

// ---- What is received

let connection = null;
let called = ""; // the name that others see

// The chat has an address of its own, which needs no token. A hub in development mode gives one: with it others see who is
// here. Tabs share a connection if the same person looks at them.
async function start() {
  const { hub = "", presence, publisher_token } = await settings();
  const showsPeople = presence && publisher_token;
  const open = () => {
    connection?.close();
    called = form.from.value.trim();
    connection = showsPeople ? openWithPeople(hub) : openAlone();
  };
  open();
  if (showsPeople) form.from.addEventListener("change", () => form.from.value.trim() !== called && open());
}

function openAlone() {
  const topics = TOPIC;
  return followAll("/event/fetch", { topics, transports: ["event-stream", "long-poll"], share: "chat", onUpdate, onPast, onState });
}

function openWithPeople(hub) {
  const people = new People(hub, TOPIC, called, showPeople);
  return followAll(hub, {
    topics: TOPIC,
    patterns: people.events,
    selection: { topics: TOPIC },
    token: people.token,
    share: `chat ${called}`,
    onUpdate: (update) => (update.type === "mercure" ? people.onEvent(update.data) : onUpdate(update)),
    onPast,
    onState(state) {
      onState(state);
      if (state === "open") people.fetch().catch(() => {});
    },
  });
}

function onUpdate({ id, type, data }) {
  const message = type === "msg" && !ids.has(id) && parse(data);
  if (!message) return;
  ids.add(id);
  said.push(message);
  waiting += 1;
  if (said.length > KEPT_MAX) said.shift();
  if (ids.size > KEPT_MAX) ids.delete(ids.values().next().value);
  draw();
}

function onState(state) {
  showState(element("state"), state);
}

// A screen reader is not read the whole history: the list is busy until all of it is there.
function onPast() {
  log.setAttribute("aria-busy", "false");
  empty.hidden = said.length > 0;
}

function parse(text) {
  try {
    const { from, text: words, time } = JSON.parse(text);
    if (typeof from !== "string" || typeof words !== "string") return null;
    return { from, text: words, time: Number.isFinite(time) ? time : null };
  } catch {
    return null;
  }
}

// ---- Who is here

function showPeople(names, unnamed) {
  const shown = names.slice(0, PEOPLE_SHOWN_MAX).map((name) => (name === called ? `${name} (you)` : name));
  const more = names.length - shown.length + unnamed;
  if (more > 0) shown.push(shown.length > 0 ? `${more} more` : `${more} without a name`);
  element("here").textContent = shown.join(", ");
  element("people").hidden = shown.length === 0;
}

// ---- What is shown

const draw = oncePerFrame(() => {
  const follows = isAtEnd();
  const fresh = said.slice(-Math.min(waiting, shownMax));
  const before = said[said.length - fresh.length - 1];
  if (fresh.length < waiting) list.replaceChildren();
  list.append(...items(fresh, list.hasChildNodes() ? before : undefined));
  // Somebody who reads further up would see the list jump if items above went away.
  while (follows && list.children.length > shownMax) list.firstElementChild.remove();
  waiting = 0;
  drawn = list.children.length;
  empty.hidden = true;
  earlier.hidden = drawn >= said.length;
  if (follows) log.scrollTop = log.scrollHeight;
  else newer.hidden = false;
});

function items(messages, before) {
  const own = form.from.value.trim();
  return messages.map((message) => {
    const item = document.createElement("li");
    const head = document.createElement("p");
    const from = document.createElement("strong");
    const text = document.createElement("span");
    head.className = "head";
    from.className = "from";
    text.className = "text";
    // textContent, never innerHTML: what people write is text, whatever it looks like.
    from.textContent = message.from;
    text.textContent = message.text;
    head.append(from);
    if (message.time !== null) head.append(" ", timeOf(message.time));
    item.dataset.hue = hue(message.from);
    item.classList.toggle("mine", own !== "" && message.from === own);
    item.classList.toggle("again", message.from === before?.from && message.time - before.time < GROUP_SECS);
    item.append(head, text);
    before = message;
    return item;
  });
}

function timeOf(secs) {
  const date = new Date(secs * 1000);
  const time = document.createElement("time");
  time.dateTime = date.toISOString();
  const hours = { hour: "2-digit", minute: "2-digit" };
  const isToday = date.toDateString() === new Date().toDateString();
  time.textContent = isToday ? date.toLocaleTimeString([], hours) : date.toLocaleString([], { day: "numeric", month: "short", ...hours });
  time.title = date.toLocaleString();
  return time;
}

function hue(name) {
  let sum = 0;
  for (const character of name) sum = (sum * 31 + character.codePointAt(0)) % 9973;
  return sum % 8;
}

function isAtEnd() {
  return log.scrollHeight - log.scrollTop - log.clientHeight < 40;
}

let wasAtEnd = true;

log.addEventListener("scroll", () => {
  wasAtEnd = isAtEnd();
  if (wasAtEnd) newer.hidden = true;
});

// A keyboard that opens, or the line of names that appears, takes room from the list, and would hide its end.
new ResizeObserver(() => {
  if (wasAtEnd) log.scrollTop = log.scrollHeight;
}).observe(log);

newer.addEventListener("click", () => {
  log.scrollTop = log.scrollHeight;
  newer.hidden = true;
  form.text.focus();
});

earlier.addEventListener("click", () => {
  const height = log.scrollHeight - log.scrollTop;
  shownMax = drawn + SHOWN_STEP;
  list.replaceChildren(...items(said.slice(-shownMax)));
  drawn = list.children.length;
  earlier.hidden = drawn >= said.length;
  log.scrollTop = log.scrollHeight - height;
  log.focus();
});

// ---- What is sent

let sending = false;

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (sending) return;
  const from = form.from.value.trim();
  const text = form.text.value.trim();
  form.from.value = from;
  if (!from || !text) {
    (from ? form.text : form.from).focus();
    return;
  }
  rememberName();
  trouble.textContent = "";
  form.text.focus();
  log.scrollTop = log.scrollHeight;
  setSending(true);
  const written = form.text.value;
  const why = await send(from, text);
  setSending(false);
  if (why) trouble.textContent = `Not sent: ${why}`;
  // The text stays until the hub has it, and what was typed since stays too.
  else if (form.text.value.startsWith(written)) form.text.value = form.text.value.slice(written.length);
});

function setSending(now) {
  sending = now;
  form.setAttribute("aria-busy", String(now));
}

// Returns why it failed, or nothing.
async function send(from, text) {
  const body = new URLSearchParams({ from, text });
  try {
    const answer = await fetch("/message/broadcast", { method: "POST", body, signal: AbortSignal.timeout(ANSWER_MS_MAX) });
    if (answer.ok) return undefined;
    const problem = await answer.json().catch(() => ({}));
    return problem.detail || problem.title || `the hub answered ${answer.status}`;
  } catch (error) {
    const why = error.name === "TimeoutError" ? `the hub did not answer within ${ANSWER_MS_MAX / 1000} seconds` : "the hub cannot be reached";
    return `${why}. Your text is still there, try again.`;
  }
}

// The name is remembered in this browser. Storage may be switched off: then it is not.
const NAME_KEY = "tidings.chat.name";

function rememberName() {
  try {
    localStorage.setItem(NAME_KEY, form.from.value.trim());
  } catch {}
}

try {
  form.from.value = localStorage.getItem(NAME_KEY) ?? "";
} catch {}
form.from.addEventListener("change", rememberName);
(form.from.value ? form.text : form.from).focus();
start();
