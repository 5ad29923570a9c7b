// The short scripts of docs/reference, as they stand but for the hub's address, in a page of the hub.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { openChromium, openPage } from "../support/chromium.mjs";
import { Hub, until } from "../support/hub.mjs";

const ROOT = new URL("../../../", import.meta.url);
const SOCKJS = await readFile(new URL("../node_modules/sockjs-client/dist/sockjs.min.js", import.meta.url), "utf8");
const TOPIC = "https://example.com/books/1";

test("the scripts of the WebSocket reference receive an update and talk in a room", async (t) => {
  const [subscribe, room] = await scripts("websocket");
  const visit = await visits(t);
  const reader = await visit(subscribe);
  await visit.hub.publishUntil(() => reader.said.some((line) => line.includes("3 left")));
  await talk(visit, room, 2);
});

test("the script of the SockJS reference receives an update and talks in a room", async (t) => {
  const [script] = await scripts("sockjs");
  const visit = await visits(t, SOCKJS);
  const reader = await visit(script);
  await visit.hub.publishUntil(() => reader.said.some((line) => line.includes("3 left")));
  await talk(visit, script, 4);
});

async function scripts(name) {
  const text = await readFile(new URL(`docs/reference/${name}.md`, ROOT), "utf8");
  return [...text.matchAll(/^```js\n(.*?)^```$/gms)].map(([, script]) => script);
}

// Starts a hub. The function that is returned runs a script in a page of its own; `said` is what it has shown.
async function visits(t, library = "") {
  const hub = await Hub.start(t);
  hub.publishUntil = (seen) => until(async () => (await hub.publish(TOPIC, "3 left")) && seen(), "the update");
  const browser = await openChromium(t);
  const visit = async (script) => {
    const page = await openPage(browser, `${hub.origin}/health/live`);
    const said = [];
    await page.exposeFunction("noted", (text) => void said.push(text));
    page.on("pageerror", (error) => said.push(`error: ${error.message}`));
    const here = script.replaceAll(/(https?|wss?):\/\/(example\.com|localhost:4400)(?=\/(sockjs|ws|\.well-known))/g, (_, scheme) => `${scheme.startsWith("ws") ? "ws" : "http"}://localhost:${hub.port}`);
    assert.notEqual(here, script);
    await page.evaluate(`${library}; const show = (value) => noted(JSON.stringify(value)); console.log = show; ${here}`);
    return { page, said };
  };
  return Object.assign(visit, { hub });
}

// Two visitors of a room: the second says "Hello" when its connection opens, and a message goes to everybody else.
async function talk(visit, script, subscribers) {
  const first = await visit(script);
  await visit.hub.subscribers(subscribers);
  await visit(script);
  await until(() => first.said.includes('"Hello"'), () => `the greeting; it showed: ${first.said}`);
  assert.deepEqual(first.said.filter((line) => line.startsWith("error")), []);
}
