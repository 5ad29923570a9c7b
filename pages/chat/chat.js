// The chat: what is said goes to the hub by POST and comes back to everybody, the sender too, as an event named "msg".
//
// Nothing is shown before it came through the hub, so all windows show the same list in the same order. The events carry
// no time, so none is shown.

import { oncePerFrame, showState } from "/shared/source.js";
import { connect } from "/tidings.mjs";

const KEPT_MAX = 5000; // messages kept in memory
const SHOWN_STEP = 200; // list items shown, and added by "Show earlier"
const QUIET_MS = 250; // so long without an event: what was said before is all there

const log = document.querySelector("#log");
const list = document.querySelector("#said");
const empty = document.querySelector("#empty");
const earlier = document.querySelector("#earlier");
const newer = document.querySelector("#newer");
const form = document.querySelector("#say");
const trouble = document.querySelector("#trouble");

const said = []; // { from, text }, oldest first
let drawn = 0; // how many of `said`, from its end backwards, are in the list
let waiting = 0; // how many of `said`, at its end, are not in the list yet
let shownMax = SHOWN_STEP;
let quiet;

// The chat has an address of its own, which needs no token and is no WebSocket.
const CHAT = { topics: "/chat", transports: ["event-stream", "long-poll"], lastEventId: "earliest" };
connect("/event/fetch", { ...CHAT, onUpdate, onState });

function onUpdate({ type, data }) {
  const message = type === "msg" && parse(data);
  if (!message) return;
  said.push(message);
  waiting += 1;
  if (said.length > KEPT_MAX) said.splice(0, said.length - KEPT_MAX);
  settle();
  draw();
}

function onState(state) {
  showState(document.querySelector("#state"), state);
  if (state === "open") settle();
}

// A screen reader is not read the whole history: the list is busy until the first quiet moment.
function settle() {
  clearTimeout(quiet);
  quiet = setTimeout(() => {
    log.setAttribute("aria-busy", "false");
    empty.hidden = said.length > 0;
  }, QUIET_MS);
}

function parse(text) {
  try {
    const { from, text: words } = JSON.parse(text);
    return typeof from === "string" && typeof words === "string" ? { from, text: words } : null;
  } catch {
    return null;
  }
}

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
    const from = document.createElement("strong");
    const text = document.createElement("span");
    from.className = "from";
    text.className = "text";
    // textContent, never innerHTML: what people write is text, whatever it looks like.
    from.textContent = message.from;
    text.textContent = message.text;
    item.dataset.hue = hue(message.from);
    item.classList.toggle("mine", own !== "" && message.from === own);
    item.classList.toggle("again", message.from === before?.from);
    item.append(from, " ", text);
    before = message;
    return item;
  });
}

function hue(name) {
  let sum = 0;
  for (const character of name) sum = (sum * 31 + character.codePointAt(0)) % 9973;
  return sum % 8;
}

function isAtEnd() {
  return log.scrollHeight - log.scrollTop - log.clientHeight < 40;
}

log.addEventListener("scroll", () => {
  if (isAtEnd()) newer.hidden = true;
});

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

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const from = form.from.value.trim();
  const text = form.text.value.trim();
  form.from.value = from;
  if (!from || !text) {
    (from ? form.text : form.from).focus();
    return;
  }
  rememberName();
  trouble.textContent = "";
  form.text.value = "";
  form.text.focus();
  log.scrollTop = log.scrollHeight;
  const why = await send(from, text);
  if (!why) return;
  trouble.textContent = `Not sent: ${why}`;
  // Nothing that was typed gets lost, and nothing typed since is overwritten.
  if (!form.text.value) form.text.value = text;
});

// Returns why it failed, or nothing.
async function send(from, text) {
  try {
    const answer = await fetch("/message/broadcast", { method: "POST", body: new URLSearchParams({ from, text }) });
    if (answer.ok) return undefined;
    const problem = await answer.json().catch(() => ({}));
    return problem.detail || problem.title || `the hub answered ${answer.status}`;
  } catch {
    return "the hub cannot be reached. Your text is still there, try again.";
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
