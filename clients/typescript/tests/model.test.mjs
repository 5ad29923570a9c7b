// Random histories: connections are cut or fall silent, the hub dies, forgets or loses its history, tokens end, tabs
// come, go and lose the network. After all faults are healed, each tab has everything once and in order, or was told
// of a gap. A failure names its seed: MODEL_SEED=n runs it alone, MODEL_HISTORIES=n runs that many.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Browser } from "./support/browser.mjs";
import { Clock, dice, Hub, settle, Tab } from "./support/model.mjs";

const HISTORIES = Number(process.env.MODEL_HISTORIES ?? 3000);
const STEPS_MAX = 40;
/** Long enough for the longest pause, and for silence to be noticed. */
const HEALING_MS = 120_000;
const TRANSPORTS = [["event-stream"], ["websocket"], ["long-poll"], ["event-stream", "websocket", "long-poll"], ["websocket", "event-stream"]];

test(`${HISTORIES} random histories lose nothing silently, and tell nothing twice`, async () => {
  const only = process.env.MODEL_SEED;
  const seeds = only === undefined ? Array.from({ length: HISTORIES }, (_, seed) => seed) : [Number(only)];
  const seen = { updates: 0, gaps: 0, excused: 0, shared: 0 };
  for (const seed of seeds) {
    try {
      await new History(seed, seen).run();
    } catch (error) {
      error.message = `MODEL_SEED=${seed}: ${error.message}`;
      throw error;
    }
  }
  // Histories in which nothing happens would show nothing.
  if (only === undefined) for (const [what, count] of Object.entries(seen)) assert.ok(count > HISTORIES / 10, `${count} ${what}`);
});

class History {
  #random;
  #clock = new Clock();
  #browser = new Browser();
  #hub;
  #tabs = [];
  #options;
  #seen;
  #log = [];

  constructor(seed, seen) {
    this.#random = dice(seed);
    this.#hub = new Hub(this.#clock, this.#random);
    this.#seen = seen;
    const share = this.#random() < 0.6 && { share: "me" };
    if (share) seen.shared += 1;
    this.#options = { transports: this.#pick(TRANSPORTS), ...share };
  }

  async run() {
    this.#open();
    const steps = Math.ceil(this.#random() * STEPS_MAX);
    for (let step = 0; step < steps; step += 1) {
      const action = this.#pick(ACTIONS);
      this.#log.push(action.name);
      await action(this.#world());
      // Some things happen before others are over.
      if (this.#random() < 0.7) await settle();
    }
    await this.#heal();
    for (const tab of this.#tabs) this.#check(tab);
    for (const { connection } of this.#tabs) connection.close();
  }

  #world() {
    return {
      hub: this.#hub,
      clock: this.#clock,
      random: this.#random,
      pick: (list) => this.#pick(list),
      tab: this.#pick(this.#tabs),
      tabs: this.#tabs,
      open: () => this.#open(),
      close: (tab) => {
        tab.connection.close();
        this.#tabs.splice(this.#tabs.indexOf(tab), 1);
      },
      selects: !this.#options.share,
    };
  }

  #open() {
    this.#tabs.push(new Tab(this.#hub, this.#browser, this.#clock, this.#random, this.#options));
  }

  async #heal() {
    this.#hub.up = true;
    for (const tab of this.#tabs) {
      tab.visible = true;
      if (!tab.online) goOnline({ tab });
      // A connection that has fallen silent is noticed by its silence.
      else if (this.#random() < 0.3) takeBack({ tab });
    }
    await settle();
    await this.#clock.pass(HEALING_MS);
    this.#hub.publish("a");
    await settle();
    await this.#clock.pass(1000);
    await settle();
  }

  #check(tab) {
    const hub = this.#hub;
    const context = `${this.#log.join(" ")}; ${JSON.stringify(this.#options)}; told ${tab.told}; from ${tab.from}; gaps ${tab.gaps}; dropped ${[...hub.dropped]}`;
    assert.equal(tab.connection.state, "open", context);
    // After a gap the hub sends all that it has: the order begins anew.
    const own = tab.told.filter((number) => number === null || hub.topicOf(number) === "a");
    for (let at = 1; at < own.length; at += 1) assert.ok(own[at] === null || own[at] > own[at - 1], `out of order: ${context}`);
    const numbers = tab.told.filter((number) => number !== null);
    assert.equal(new Set(numbers).size, numbers.length, `twice: ${context}`);
    // A tab that takes over before it knows where the others stand begins now: they are told of a gap.
    const takesOver = this.#options.share && (this.#log.includes("close") || this.#log.includes("handOver"));
    let missing = 0;
    for (let number = tab.from + 1; number <= hub.published; number += 1) {
      if (hub.topicOf(number) !== "a" || own.includes(number)) continue;
      assert.ok(hub.dropped.has(number) || takesOver, `lost ${number}: ${context}`);
      missing += 1;
    }
    if (missing > 0) assert.ok(tab.gaps > 0, `${missing} lost and not told: ${context}`);
    if (!hub.forgot && !takesOver) assert.equal(tab.gaps, 0, `a gap although the hub has everything: ${context}`);
    this.#seen.updates += own.length;
    this.#seen.gaps += tab.gaps;
    this.#seen.excused += missing;
  }

  #pick(list) {
    return list[Math.floor(this.#random() * list.length)];
  }
}

const publish = ({ hub, random }) => {
  for (let count = 1 + random() * 3; count >= 1; count -= 1) hub.publish(random() < 0.7 ? "a" : "b");
};
const pass = ({ clock, random }) => clock.pass(random() * 20_000);
const passLong = ({ clock, random }) => clock.pass(random() * 100_000);
const cutAll = ({ hub }) => hub.cut();
const cutOne = ({ hub, pick }) => hub.connections.size > 0 && pick([...hub.connections]).cut();
const stall = ({ hub, pick }) => hub.connections.size > 0 && (pick([...hub.connections]).stalled = true);
const kill = ({ hub }) => hub.kill();
const start = ({ hub }) => (hub.up = true);
const trim = ({ hub, random }) => hub.trim(Math.ceil(random() * 5));
const lose = ({ hub }) => hub.lose();
const forget = ({ hub }) => hub.forget();
const expire = ({ hub }) => hub.expire();
const open = ({ tabs, open }) => tabs.length < 4 && open();
const close = ({ tabs, tab, close }) => tabs.length > 1 && close(tab);
// The tab that has the connection goes while what it received is on its way to the others.
const handOver = async ({ hub, tabs, open, close, random }) => {
  while (tabs.length < 3) open();
  await settle();
  hub.publish("a");
  for (let turn = random() * 6; turn >= 1; turn -= 1) await new Promise((resolve) => setImmediate(resolve));
  close(tabs[0]);
};
const goOffline = ({ tab, hub }) => {
  tab.online = false;
  tab.dispatch("offline");
  if (hub.random() < 0.5) hub.cut();
};
const goOnline = ({ tab }) => {
  tab.online = true;
  tab.dispatch("online");
};
const hide = ({ tab }) => {
  tab.visible = false;
  tab.dispatch("visibilitychange");
};
const show = ({ tab }) => {
  tab.visible = true;
  tab.dispatch("visibilitychange");
};
const putAside = ({ tab }) => tab.dispatch("pagehide");
const takeBack = ({ tab }) => tab.dispatch("pageshow", { persisted: true });
const subscribe = ({ selects, tab }) => selects && tab.connection.subscribe({ topics: "b" });
// What is published while the hub has not yet read the request comes before the past of what was added.
const subscribeAmid = async ({ selects, tab, hub, random }) => {
  if (!selects) return;
  tab.connection.unsubscribe({ topics: "b" });
  await settle();
  tab.connection.subscribe({ topics: "b" });
  for (let count = 0; count < 4; count += 1) hub.publish(random() < 0.5 ? "a" : "b");
  for (let turn = 1 + random() * 3; turn >= 1; turn -= 1) await new Promise((resolve) => setImmediate(resolve));
  hub.cut();
};
const unsubscribe = ({ selects, tab }) => selects && tab.connection.unsubscribe({ topics: "b" });

const ACTIONS = [
  ...Array(10).fill(publish),
  ...[pass, pass, pass, pass, passLong, cutAll, cutOne, cutOne, stall, kill, start, start, trim, lose, forget, forget, expire],
  ...[open, open, close, handOver, handOver, goOffline, goOnline, goOnline, hide, show, putAside, takeBack, subscribe, unsubscribe, subscribeAmid, subscribeAmid],
];
