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
  element("topics-rows").replaceChildren(...topics.map(shown));
  // The list is drawn again while somebody may be on one of its buttons.
  if (focused) element("topics-rows").querySelector(`[aria-label="${CSS.escape(focused)}"]`)?.focus();
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
