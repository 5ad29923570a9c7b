// The topics that are published most.

import { get } from "./api.js";
import { bytes, button, duration, element, h, number, row } from "./dom.js";

let lookAt = () => {};

// `told` is called with a view and the topic that it is to show.
export function whenLookedAt(told) {
  lookAt = told;
}

export async function show() {
  const { topics, over_secs } = await get("topics", { limit: 50 });
  element("topics-over").textContent = topics.length ? `over the last ${duration(Math.max(1, over_secs))}` : "";
  element("no-topics").hidden = topics.length > 0;
  const focused = document.activeElement?.getAttribute?.("aria-label");
  draw(element("topics-rows"), topics);
  // A row that has moved loses the focus.
  if (focused) element("topics-rows").querySelector(`[aria-label="${CSS.escape(focused)}"]`)?.focus();
}

// A topic keeps its row and the buttons in it: a click on one that is replaced between press and release would be lost.
// So would one on a button that leaves the pointer: as long as something in the list is pressed, only numbers change.
function draw(list, topics) {
  const before = new Map([...list.children].map((row) => [row.dataset.topic, row]));
  const rows = topics.map((each) => {
    const made = shown(each);
    made.dataset.topic = each.topic;
    const row = before.get(each.topic) ?? made;
    if (row !== made) for (const cell of [...made.cells].slice(1, -1)) row.cells[cell.cellIndex].textContent = cell.textContent;
    return row;
  });
  if (list.querySelector(":active")) return;
  for (const row of before.values()) if (!rows.includes(row)) row.remove();
  for (const [at, row] of rows.entries()) if (list.children[at] !== row) list.insertBefore(row, list.children[at] ?? null);
}

function shown({ topic, per_second, updates, error, bytes: size }) {
  const sure = error === 0 ? "" : ` (${number(error)} perhaps of rarer topics)`;
  return row(
    ["Topic", "", h("code", { textContent: topic })],
    ["Per second", "number", number(per_second)],
    ["Updates", "number", `${number(updates)}${sure}`],
    ["Data", "number", bytes(size)],
    ["Look at", "", h("div", { className: "buttons" },
      button("History", "plain small", () => lookAt("history", topic), `History of ${topic}`),
      button("Subscribers", "plain small", () => lookAt("connections", topic), `Subscribers of ${topic}`),
      button("Explain", "plain small", () => lookAt("explain", topic), `Explain ${topic}`))],
  );
}
