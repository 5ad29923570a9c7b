// Small helpers: elements, numbers and times for people, confirmations.

export const element = (id) => document.getElementById(id);

// Makes an element: properties, then children. What `data` has becomes data attributes.
export function h(name, { data = {}, ...properties } = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  Object.assign(made.dataset, data);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// Makes an SVG element.
export function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// Shows what came of something; `good` is null while it is under way.
export function say(place, text, good = null) {
  place.textContent = text;
  place.classList.toggle("good", good === true);
  place.classList.toggle("bad", good === false);
}

// A row of a list: on a phone each cell shows its column's name.
export function row(...cells) {
  return h("tr", {}, ...cells.map(([label, className, ...children]) => h("td", { className, data: { label } }, ...children)));
}

export function button(text, className, onClick, label = text) {
  const made = h("button", { type: "button", className, textContent: text });
  if (label !== text) made.setAttribute("aria-label", label);
  made.addEventListener("click", onClick);
  return made;
}

export const number = (value) => value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 1 : 0 });

export function compact(value) {
  return value.toLocaleString("en", { notation: "compact", maximumFractionDigits: 1 });
}

const TRANSPORTS = { sse: "event stream", websocket: "WebSocket", sockjs: "SockJS", long_poll: "long polling" };

export const transportName = (name) => TRANSPORTS[name] ?? name;

export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit += 1) value /= 1024;
  return `${value.toLocaleString("en", { maximumFractionDigits: unit === 0 || value >= 100 ? 0 : 1 })}\u00a0${units[unit]}`;
}

export function duration(secs) {
  const units = [["d", 86400], ["h", 3600], ["min", 60]];
  const at = units.findIndex(([, length]) => secs >= length);
  if (at < 0) return `${Math.floor(secs)} s`;
  const [unit, length] = units[at];
  const rest = units[at + 1];
  const more = rest ? Math.floor((secs % length) / rest[1]) : 0;
  return `${Math.floor(secs / length)} ${unit}${more ? ` ${more} ${rest[0]}` : ""}`;
}

export const time = (ms) => new Date(ms).toLocaleString([], { dateStyle: "medium", timeStyle: "medium" });

// Asks before something that cannot be taken back. Returns whether it is to be done.
export function confirmed({ title, text, yes }) {
  const dialog = element("confirm");
  element("confirm-title").textContent = title;
  element("confirm-text").textContent = text;
  element("confirm-yes").textContent = yes;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}
