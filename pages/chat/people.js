// Who is in the chat: the subscriptions of its topic, as the hub's presence lists them, kept up to date by its events.
//
// A token carries the name; presence shows it to everybody who may see the subscription. docs/reference/presence.md

import { makeToken } from "/shared/hub.js";

const TOKEN_SECS = 3600;
const PAGES_MAX = 20;

export class People {
  #list;
  #payload;
  #onChange;
  #there = new Map(); // subscription → name; empty for somebody without one
  #arrived = []; // events while the list is fetched

  // `hub` is the hub's path; `onChange` gets the names, sorted, and how many have none.
  constructor(hub, topic, name, onChange) {
    this.#list = `${hub}/subscriptions/exact/${encodeURIComponent(topic)}`;
    this.#payload = name ? { name } : {};
    this.#onChange = onChange;
    this.events = `${this.#list}/:subscriber`;
    this.token = () =>
      makeToken({
        subscribe: [{ match: topic }, { match: this.#list }, { match: this.events, match_type: "urlpattern" }],
        payload: this.#payload,
        ttl_secs: TOKEN_SECS,
      });
  }

  // Takes the data of a presence event.
  onEvent(text) {
    const event = JSON.parse(text);
    this.#arrived.push(event);
    this.#apply(event);
    this.#tell();
  }

  // Fetches the list. What happens meanwhile may be in it or not, so it is applied again.
  async fetch() {
    this.#arrived = [];
    const found = new Map();
    const headers = { Authorization: `Bearer ${await this.token()}` };
    let address = this.#list;
    for (let page = 0; address && page < PAGES_MAX; page += 1) {
      const answer = await fetch(address, { headers, cache: "no-store" });
      if (!answer.ok) return;
      const { subscriptions, next } = await answer.json();
      for (const { id, payload } of subscriptions) found.set(id, nameOf(payload));
      address = next;
    }
    this.#there = found;
    for (const event of this.#arrived) this.#apply(event);
    this.#tell();
  }

  #apply({ id, active, payload }) {
    if (active) this.#there.set(id, nameOf(payload));
    else this.#there.delete(id);
  }

  #tell() {
    const all = [...this.#there.values()];
    const named = [...new Set(all.filter(Boolean))].sort((a, b) => a.localeCompare(b));
    this.#onChange(named, all.filter((name) => !name).length);
  }
}

function nameOf(payload) {
  return typeof payload?.name === "string" ? payload.name : "";
}
