// Who is subscribed to what, as the hub's presence lists it: docs/reference/presence.md

import { describe } from "/shared/hub.js";

const SHOWN_MAX = 200;

// `hub`, `token` and `isOn` are functions that return what is set at that moment: the hub's path, the token, and whether the
// hub has presence. Returns a function that shows the list.
export function prepareSubscriptions({ hub, token, isOn }) {
  const element = (id) => document.querySelector(`#${id}`);

  const say = (tone, text) => {
    element("subscriptions-said").className = `said-by-hub ${tone}`;
    element("subscriptions-said").textContent = text;
  };

  const refresh = async () => {
    if (!isOn()) return fail("", "Presence is off on this hub: presence.enabled = true lists subscriptions.");
    if (!token()) return fail("", "The list needs a token that may read it.");
    try {
      const headers = { Authorization: `Bearer ${token()}` };
      const answer = await fetch(`${hub()}/subscriptions?limit=${SHOWN_MAX}`, { headers, cache: "no-store" });
      const found = await answer.json();
      if (!answer.ok) return fail("bad", describe({ status: answer.status, title: found.title, message: found.detail }));
      show(found);
    } catch {
      fail("bad", "The hub cannot be reached.");
    }
  };

  const show = ({ total, subscriptions }) => {
    say("", subscriptions.length === 0 ? "None." : "");
    const more = total > subscriptions.length ? `, the first ${subscriptions.length} shown` : "";
    element("subscriptions-count").textContent = `${total}${more}`;
    element("subscriptions").replaceChildren(...subscriptions.map(item));
  };

  const fail = (tone, text) => {
    show({ total: "", subscriptions: [] });
    say(tone, text);
  };

  const item = ({ match, match_type, subscriber, payload }) => {
    const item = element("subscription").content.cloneNode(true).firstElementChild;
    item.querySelector(".match").textContent = match;
    item.querySelector(".kind").textContent = match_type;
    item.querySelector(".subscriber").textContent = subscriber;
    item.querySelector(".payload").textContent = payload === undefined ? "" : JSON.stringify(payload);
    return item;
  };

  element("refresh").addEventListener("click", refresh);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) refresh();
  });
  return refresh;
}
