// Reload, with the difference; drain.

import { post } from "./api.js";
import { confirmed, element, h, say } from "./dom.js";

element("reload").addEventListener("click", () => void reload());
element("drain").addEventListener("click", () => void drain());

async function reload() {
  const place = element("reloaded");
  place.replaceChildren();
  try {
    const { applied, needs_restart } = await post("reload");
    const lists = [
      ...changes("Applied", applied),
      ...changes("Needs a restart", needs_restart),
    ];
    place.replaceChildren(...(lists.length ? lists : [h("p", { className: "said-by-hub good", textContent: "Nothing changed." })]));
  } catch (error) {
    place.replaceChildren(h("p", { className: "said-by-hub bad", textContent: error.message }));
  }
}

function changes(title, list) {
  if (list.length === 0) return [];
  const value = (text) => text ?? "not set";
  const items = list.map(({ key, old, new: now }) =>
    h("li", {}, h("code", { textContent: key }), h("del", { textContent: value(old) }), h("ins", { textContent: value(now) })));
  return [h("h3", { textContent: title }), h("ul", { className: "changes" }, ...items)];
}

async function drain() {
  const title = "Drain and stop this hub?";
  const text = "All streams end, and the process exits. Unless something starts it again, nobody can publish or subscribe.";
  if (!(await confirmed({ title, text, yes: "Drain and stop" }))) return;
  try {
    const { within_secs } = await post("drain");
    say(element("drained"), `The hub is stopping: its streams end within ${within_secs} s.`, true);
  } catch (error) {
    say(element("drained"), error.message, false);
  }
}
