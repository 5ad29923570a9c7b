// The first page: what to paste into a page and into an application, what arrives, and how much goes on.

import { PUBLISHING, SUBSCRIBING, TOPIC } from "./snippets.js";
import { copyOnClick } from "/shared/copy.js";
import { settings } from "/shared/hub.js";
import { oncePerFrame, showState } from "/shared/source.js";
import { connect } from "/tidings.mjs";

const COUNTED_EVERY_MS = 2000;
const SHOWN_MAX = 5; // updates that arrived
const NO_TOKEN = "YOUR_TOKEN";

const element = (id) => document.querySelector(`#${id}`);
const found = await settings();
const hub = new URL(found.hub ?? "/.well-known/mercure", location.href).href;
const place = { hub, origin: location.origin, token: found.publisher_token ?? NO_TOKEN };

offer("subscribe", SUBSCRIBING);
offer("publish", PUBLISHING);
if (found.publisher_token) {
  showArrivals();
  count();
} else {
  element("publish-note").after(hint("This hub gives no tokens away: put yours in place of YOUR_TOKEN. `tidings token make` makes one."));
}
document.documentElement.dataset.ready = "true";

// ---- What to paste

// Fills the card `name` with snippets to choose from; the choice is remembered in this browser.
function offer(name, snippets) {
  const key = `tidings.home.${name}`;
  const ways = element(`${name}-ways`);
  for (const way of Object.keys(snippets)) {
    const label = document.createElement("label");
    const input = Object.assign(document.createElement("input"), { type: "radio", name, value: way });
    const text = document.createElement("span");
    text.textContent = way;
    label.append(input, text);
    ways.append(label);
    input.addEventListener("change", () => {
      show(way);
      write(key, way);
    });
  }
  const show = (way) => {
    ways.querySelector(`input[value="${way}"]`).checked = true;
    element(`${name}-code`).replaceChildren(...shortened(snippets[way].text(place)));
    element(`${name}-note`).textContent = snippets[way].note;
  };
  const before = read(key);
  show(before in snippets ? before : Object.keys(snippets)[0]);
  const code = element(`${name}-code`);
  copyOnClick(element(`copy-${name}`), () => code.textContent, code);
}

// The token is shown shortened; it is all there for the one who copies.
function shortened(text) {
  return text.split(place.token).flatMap((part, at) => {
    const token = Object.assign(document.createElement("span"), { className: "token", textContent: place.token });
    return at === 0 ? [part] : [token, part];
  });
}

function hint(text) {
  return Object.assign(document.createElement("p"), { className: "hint", textContent: text });
}

// Storage may be switched off: then nothing is remembered.
function read(key) {
  try {
    return localStorage.getItem(key) ?? "";
  } catch {
    return "";
  }
}

function write(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {}
}

// ---- What arrives

function showArrivals() {
  const arrived = [];
  const draw = oncePerFrame(() => {
    element("no-arrivals").hidden = true;
    element("arrivals").prepend(...arrived.splice(0).reverse().map(arrival));
    while (element("arrivals").children.length > SHOWN_MAX) element("arrivals").lastElementChild.remove();
  });
  element("arrivals-card").hidden = false;
  connect(hub, {
    topics: TOPIC,
    share: "home",
    onState: (state) => showState(element("state"), state),
    onUpdate({ data }) {
      arrived.push(data);
      if (arrived.length > SHOWN_MAX) arrived.shift();
      draw();
    },
  });
}

function arrival(data) {
  const item = document.createElement("li");
  const time = document.createElement("time");
  const text = document.createElement("span");
  time.textContent = new Date().toLocaleTimeString();
  text.textContent = data;
  item.append(time, text);
  return item;
}

// ---- How much goes on

// A hub in development mode shows its metrics to everybody.
async function count() {
  let before = null;
  for (;;) {
    const metrics = document.hidden ? null : await readMetrics();
    if (metrics) {
      const now = performance.now();
      const published = metrics.get("tidings_updates_total") ?? 0;
      const rate = before ? ((published - before.published) / (now - before.now)) * 1000 : 0;
      before = { now, published };
      const shown = { subscribers: metrics.get("tidings_subscribers") ?? 0, published, rate, delivered: metrics.get("tidings_deliveries_total") ?? 0 };
      for (const [id, value] of Object.entries(shown)) element(id).textContent = number(value);
      element("counters").hidden = false;
    }
    await new Promise((resolve) => setTimeout(resolve, COUNTED_EVERY_MS));
  }
}

async function readMetrics() {
  try {
    const answer = await fetch("/metrics", { cache: "no-store" });
    if (!answer.ok) return null;
    const lines = (await answer.text()).split("\n").filter((line) => line && !line.startsWith("#"));
    return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]));
  } catch {
    return null;
  }
}

function number(value) {
  return value.toLocaleString([], { maximumFractionDigits: value < 10 ? 1 : 0 });
}
