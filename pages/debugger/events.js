// The list of events: what came, with its topics and timing, filtered, and as JSON that can be read.

import { oncePerFrame } from "/shared/source.js";

const SHOWN_MAX = 200; // events in the list; older ones leave it
const OWN_MAX = 1000; // own publishes whose time is remembered
const PRETTY_MAX = 100_000; // characters of JSON that are laid out

export class Events {
  #element;
  #arrived = []; // not drawn yet
  #published = new Map(); // event id → when publishing began, for the latency of own events
  #count = 0;

  constructor(element) {
    this.#element = element;
    const list = element("events");
    element("raw").addEventListener("change", (event) => list.classList.toggle("raw", event.target.checked));
    element("pretty").addEventListener("change", () => [...list.children].forEach((item) => this.#showData(item)));
    element("filter").addEventListener("input", () => this.#filter());
    element("clear").addEventListener("click", () => this.#clear());
  }

  add(event) {
    this.#count += 1;
    this.#arrived.push({ ...event, at: performance.now(), time: new Date() });
    if (this.#arrived.length > SHOWN_MAX) this.#arrived.shift();
    this.#draw();
  }

  // Remembers when an event was published. It may come before the answer to its POST, or after it.
  remember(id, began) {
    this.#published.set(id, began);
    if (this.#published.size > OWN_MAX) this.#published.delete(this.#published.keys().next().value);
    for (const item of this.#element("events").children) {
      if (item.event.id === id) this.#showLatency(item);
    }
  }

  #draw = oncePerFrame(() => {
    const list = this.#element("events");
    list.prepend(...this.#arrived.splice(0).reverse().map((event) => this.#item(event)));
    while (list.children.length > SHOWN_MAX) list.lastElementChild.remove();
    this.#filter();
  });

  #item(event) {
    const item = this.#element("event").content.cloneNode(true).firstElementChild;
    const part = (name) => item.querySelector(name);
    item.event = event;
    part(".at").textContent = clock(event.time);
    part(".type").textContent = event.type;
    part(".topics").textContent = (event.topics ?? []).join("\n");
    part(".id code").textContent = event.id || "no id";
    part(".wire").textContent = event.wire || "EventSource does not show what was sent";
    this.#showData(item);
    this.#showLatency(item);
    return item;
  }

  #showData(item) {
    const { data } = item.event;
    item.querySelector(".data").textContent = this.#element("pretty").checked ? pretty(data) : data;
  }

  #showLatency(item) {
    const began = this.#published.get(item.event.id);
    if (began === undefined) return;
    item.querySelector(".latency").textContent = `${(item.event.at - began).toFixed(1)} ms after publishing`;
  }

  #filter() {
    const wanted = this.#element("filter").value.trim().toLowerCase();
    const items = [...this.#element("events").children];
    let shown = 0;
    for (const item of items) {
      const { id, type, topics = [], data } = item.event;
      item.hidden = !`${topics.join("\n")}\n${type}\n${id}\n${data}`.toLowerCase().includes(wanted);
      if (!item.hidden) shown += 1;
    }
    this.#element("no-events").hidden = this.#count > 0;
    const received = `${this.#count} received`;
    if (wanted) this.#element("count").textContent = `${received}, ${shown} shown`;
    else this.#element("count").textContent = shown < this.#count ? `${received}, the last ${shown} shown` : received;
  }

  #clear() {
    this.#element("events").replaceChildren();
    this.#arrived.length = 0;
    this.#count = 0;
    this.#filter();
  }
}

// Lays out an object or a list; everything else stays as it is.
function pretty(data) {
  if (data.length > PRETTY_MAX || !/^\s*[[{]/.test(data)) return data;
  try {
    return JSON.stringify(JSON.parse(data), null, 2);
  } catch {
    return data;
  }
}

function clock(time) {
  const two = (value) => String(value).padStart(2, "0");
  const ms = String(time.getMilliseconds()).padStart(3, "0");
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${ms}`;
}
