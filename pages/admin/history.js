// The browser of the history, newest first, and the purge of a topic.

import { elsewhere, get, post } from "./api.js";
import { bytes, confirmed, element, h, number, say, time } from "./dom.js";

const form = element("history-filter");
const list = element("updates");
const said = element("history-said");
let next = null;
let asked = 0;

form.addEventListener("submit", (event) => {
  event.preventDefault();
  void show();
});
form.addEventListener("reset", () => setTimeout(show));
element("older").addEventListener("click", () => void page(false));
element("purge").addEventListener("click", () => void purge(form.topic.value));

// Shows the newest updates that the form selects. `topic` is set first, if it is given.
export async function show(topic) {
  if (typeof topic === "string") {
    form.reset();
    form.topic.value = topic;
  }
  element("purge").hidden = form.topic.value === "";
  say(said, "");
  next = null;
  await page(true);
}

async function page(first) {
  const mine = ++asked;
  const filters = Object.fromEntries(new FormData(form));
  let found = [];
  let answer;
  try {
    // One answer reads a bounded part of the history, in which nothing may fit.
    do {
      answer = await get("history", { ...filters, before: next, limit: 20 });
      if (mine !== asked) return;
      found = found.concat(answer.updates);
      next = answer.next;
    } while (next !== null && found.length === 0);
  } catch (error) {
    list.replaceChildren();
    element("no-updates").hidden = error.status !== 404;
    element("older").hidden = true;
    return say(said, error.status === 404 ? "" : error.message, false);
  }
  if (first) list.replaceChildren();
  list.append(...found.map(shown));
  element("no-updates").hidden = list.children.length > 0;
  element("older").hidden = next === null;
  const { oldest_position, last_position } = answer;
  element("history-bounds").textContent = last_position >= oldest_position ? `positions ${oldest_position} to ${last_position}` : "empty";
}

function shown(update) {
  const tags = [
    update.withdrawn ? ["purged", "bad"] : null,
    update.private && !update.withdrawn ? ["private", "wait"] : null,
    update.presence ? ["presence", ""] : null,
    update.type ? [`type ${update.type}`, ""] : null,
    update.retry !== null ? [`retry ${number(update.retry)} ms`, ""] : null,
    ...(update.targets ?? []).map((target) => [`target ${target}`, ""]),
  ].filter(Boolean);
  const head = h("header", {},
    h("time", { dateTime: new Date(update.time_ms).toISOString(), textContent: time(update.time_ms) }),
    h("span", { textContent: `position ${update.position}` }),
    h("span", { textContent: update.withdrawn ? "" : bytes(update.data_bytes) }),
    ...tags.map(([text, kind]) => h("span", { className: `tag ${kind}`, textContent: text })));
  const topics = h("ul", { className: "topics" }, ...update.topics.map(topicItem));
  const more = update.truncated ? h("p", { className: "hint", textContent: `The first ${bytes(new Blob([update.data]).size)} of ${bytes(update.data_bytes)}.` }) : null;
  const data = update.withdrawn ? null : h("pre", { className: "output", tabIndex: 0, textContent: readable(update.data, update.truncated) });
  data?.setAttribute("aria-label", `Data of position ${update.position}`);
  data?.setAttribute("role", "region");
  return h("li", { className: "card" }, head, update.withdrawn ? null : topics, data, more, h("p", { className: "id", textContent: update.id }));
}

function topicItem(topic) {
  const item = h("button", { type: "button", textContent: topic });
  item.addEventListener("click", () => void show(topic));
  return h("li", {}, item);
}

function readable(data, truncated) {
  if (truncated || !/^\s*[[{]/.test(data)) return data;
  try {
    return JSON.stringify(JSON.parse(data), null, 2);
  } catch {
    return data;
  }
}

async function purge(topic) {
  const title = "Purge this topic?";
  const text = `Everything stored under ${topic} is withdrawn for good. Subscribers and backups keep what they have.`;
  if (!(await confirmed({ title, text, yes: "Purge" }))) return;
  say(said, "Purging …");
  try {
    const done = await post("purge", { topic });
    await show();
    say(said, `${number(done.purged)} updates were withdrawn.${elsewhere(done)}`, true);
  } catch (error) {
    say(said, error.message, false);
  }
}
