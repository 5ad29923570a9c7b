// One room, four visitors, each with a different transport: an event stream, the room's WebSocket, SockJS with polling,
// and long polling.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { assertNoFaults, openChromium, openPage } from "../support/chromium.mjs";
import { Hub } from "../support/hub.mjs";

const TOPIC = "four-visitors";
const LINES = 12;
const HUB = "/.well-known/mercure";
// A visitor that speaks over the room's transports does not receive its own messages; one that speaks by POST does.
const VISITORS = [
  { name: "Ada", join: byEventStream, hearsItself: true },
  { name: "Ben", join: byWebSocket, hearsItself: false },
  { name: "Chloé", join: bySockJs, hearsItself: false },
  { name: "Dan", join: byLongPolling, hearsItself: true },
];

test("four visitors, one by each transport, see every line once and in the same order", async (t) => {
  const hub = await Hub.start(t);
  const browser = await openChromium(t);
  const library = await readFile(new URL("../node_modules/sockjs-client/dist/sockjs.js", import.meta.url), "utf8");
  const token = await hub.token();
  for (const visitor of VISITORS) {
    visitor.page = await openPage(browser, `${hub.origin}/`, { bypassCSP: true });
    await visitor.page.addScriptTag({ content: library });
    await visitor.page.evaluate(visitor.join, { topic: TOPIC, path: HUB, token });
  }
  const speak = ({ name, page }) =>
    page.evaluate(
      async ({ name, lines }) => {
        for (let number = 0; number < lines; number += 1) {
          await window.say(`${name}: line ${number} é😀`);
          await new Promise((resolve) => setTimeout(resolve, 20 * Math.random()));
        }
      },
      { name, lines: LINES },
    );
  await Promise.all(VISITORS.map(speak));
  // A line that was sent over a room's transport may be on its way still. Ada hears all of them.
  await VISITORS[0].page.waitForFunction((count) => window.heard.length === count, VISITORS.length * LINES);
  await hub.publish(TOPIC, "the end");
  for (const { page } of VISITORS) await page.waitForFunction(() => window.heard.at(-1) === "the end");

  // What the history has, in its order, is what everybody is to have heard.
  const all = await everything(hub);
  assert.equal(all.length, VISITORS.length * LINES + 1);
  assert.equal(new Set(all).size, all.length);
  for (const { name, page, hearsItself } of VISITORS) {
    const wanted = all.filter((line) => hearsItself || !line.startsWith(`${name}: `));
    assert.deepEqual(await page.evaluate(() => window.heard), wanted, name);
    assertNoFaults(page);
  }
});

async function everything(hub) {
  const answer = await fetch(`${hub.origin}${HUB}?match=${TOPIC}&last_event_id=earliest`, { headers: { Prefer: "wait=0" } });
  return (await answer.json()).updates.map(({ data }) => data);
}

// What follows runs in pages: each sets `heard`, and `say`. By POST, it ends when the hub has taken the line.

async function byEventStream({ topic, path, token }) {
  window.heard = [];
  const source = new EventSource(`${path}?match=${topic}`);
  source.onmessage = ({ data }) => window.heard.push(data);
  window.say = (data) =>
    fetch(path, { method: "POST", headers: { Authorization: `Bearer ${token}` }, body: new URLSearchParams({ topic, data }) });
  await new Promise((resolve) => (source.onopen = resolve));
}

async function byWebSocket({ topic }) {
  window.heard = [];
  const socket = new WebSocket(`ws://${location.host}/ws/${topic}`);
  socket.onmessage = ({ data }) => window.heard.push(data);
  window.say = async (data) => socket.send(data);
  await new Promise((resolve) => (socket.onopen = resolve));
}

async function bySockJs({ topic }) {
  window.heard = [];
  const socket = new SockJS(`/sockjs/room/${topic}`, null, { transports: ["xhr-polling"], timeout: 30000 });
  socket.onmessage = ({ data }) => window.heard.push(data);
  window.say = async (data) => socket.send(data);
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onclose = ({ code, reason }) => reject(new Error(`${code} ${reason}`));
  });
}

async function byLongPolling({ topic, path, token }) {
  window.heard = [];
  const poll = async (cursor, wait) => {
    const answer = await fetch(`${path}?match=${topic}&last_event_id=${cursor}`, { headers: { Prefer: `wait=${wait}` } });
    return answer.json();
  };
  const go = async (cursor) => {
    for (;;) {
      const { updates, last_event_id: next } = await poll(cursor, 25);
      window.heard.push(...updates.map(({ data }) => data));
      cursor = next;
    }
  };
  window.say = (data) =>
    fetch(path, { method: "POST", headers: { Authorization: `Bearer ${token}` }, body: new URLSearchParams({ topic, data }) });
  const { last_event_id: cursor } = await poll("earliest", 0);
  go(cursor);
}
