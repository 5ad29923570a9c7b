// The TypeScript client in a browser, over each transport, through a network that fails in every
// way: all updates, once, in order.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { openChromium } from "../../../../conformance/browser/support/chromium.mjs";
import { Cutter } from "../../../../conformance/browser/support/cutter.mjs";
import { startFilter } from "../../../../conformance/browser/support/filter.mjs";
import { Hub, until } from "../../../../conformance/browser/support/hub.mjs";

const BUNDLE = new URL("../../dist/tidings.global.js", import.meta.url);
const TRANSPORTS = ["event-stream", "websocket", "long-poll"];
/** A full minute of drops. The short form has fewer of the same drops. */
const DROPS = process.env.RUN_SLOW_TESTS ? 20 : 4;
const DROP_MS = 2000;

/** A browser that reaches the hub through a proxy. */
function behind(t, hub, port) {
  return openChromium(t, { flags: [`--host-resolver-rules=MAP localhost:${hub.port} 127.0.0.1:${port}`] });
}

/** A page that subscribes to one topic over one transport. */
async function follow(hub, browser, transport) {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`${hub.origin}/health/live`);
  await page.addScriptTag({ content: await readFile(BUNDLE, "utf8") });
  await page.evaluate(
    ([address, options]) => {
      window.got = [];
      window.gaps = [];
      window.connection = window.tidings.connect(address, {
        ...options,
        onUpdate: (update) => window.got.push(update.data),
        onGap: (gap) => window.gaps.push(gap.asked),
      });
    },
    ["/.well-known/mercure", { topics: "urn:a", transports: [transport], silenceSecs: 4 }],
  );
  const state = () => page.evaluate(() => window.connection.state);
  const open = () => until(async () => (await state()) === "open", `${transport} to be open`);
  return { transport, page, state, open, got: () => page.evaluate(() => window.got), gaps: () => page.evaluate(() => window.gaps) };
}

async function publish(hub, sent, count) {
  for (let number = 0; number < count; number += 1) {
    const data = String(sent.length);
    sent.push(data);
    await hub.publish("urn:a", data);
  }
}

async function assertAll(followers, sent) {
  for (const follower of followers) {
    await until(async () => (await follower.got()).length >= sent.length, `${sent.length} updates by ${follower.transport}`, 60000);
    assert.deepEqual(await follower.got(), sent, follower.transport);
    assert.deepEqual(await follower.gaps(), [], follower.transport);
  }
}

async function everybody(t) {
  const hub = await Hub.start(t);
  const cutter = await Cutter.start(t, () => hub.port);
  const browser = await behind(t, hub, cutter.port);
  const followers = [];
  for (const transport of TRANSPORTS) followers.push(await follow(hub, browser, transport));
  for (const follower of followers) await follower.open();
  return { hub, cutter, followers };
}

test("a connection that is reset before its first update misses nothing", async (t) => {
  const { hub, cutter, followers } = await everybody(t);
  const sent = [];
  cutter.refuse(true);
  cutter.cut();
  await publish(hub, sent, 3);
  cutter.refuse(false);
  await assertAll(followers, sent);
});

for (const fault of ["cut", "stall", "halfOpen"]) {
  test(`after ${fault} everything comes, once and in order`, async (t) => {
    const { hub, cutter, followers } = await everybody(t);
    const sent = [];
    for (let round = 0; round < 3; round += 1) {
      await publish(hub, sent, 3);
      cutter[fault]();
      await publish(hub, sent, 3);
    }
    await assertAll(followers, sent);
  });
}

test("drops of two seconds, again and again, lose nothing", async (t) => {
  const { hub, cutter, followers } = await everybody(t);
  const sent = [];
  for (let drop = 0; drop < DROPS; drop += 1) {
    await publish(hub, sent, 2);
    cutter.refuse(true);
    cutter.cut();
    await publish(hub, sent, 2);
    // The fault itself lasts this long: there is no event to wait for.
    await new Promise((resolve) => setTimeout(resolve, DROP_MS));
    cutter.refuse(false);
    await publish(hub, sent, 2);
    for (const follower of followers) await follower.open();
  }
  await assertAll(followers, sent);
});

test("a hub that is killed and started again is followed on", async (t) => {
  const { hub, followers } = await everybody(t);
  const sent = [];
  for (let crash = 0; crash < 2; crash += 1) {
    await publish(hub, sent, 3);
    await hub.kill();
    await hub.run();
    await publish(hub, sent, 3);
  }
  await assertAll(followers, sent);
});

test("where event streams and WebSockets do not pass, long polling does, and at once on the next visit", async (t) => {
  const hub = await Hub.start(t);
  const port = await startFilter(t, () => hub.port);
  const browser = await behind(t, hub, port);
  const page = await (await browser.newContext()).newPage();
  const sent = [];
  for (let visit = 0; visit < 2; visit += 1) {
    await page.goto(`${hub.origin}/health/live`);
    await page.addScriptTag({ content: await readFile(BUNDLE, "utf8") });
    await page.evaluate(() => {
      window.got = [];
      window.connection = window.tidings.connect("/.well-known/mercure", {
        topics: "urn:a",
        lastEventId: "earliest",
        onUpdate: (update) => window.got.push(update.data),
      });
    });
    // The event stream does not open within eight seconds, and the WebSocket is refused. Later
    // visits remember that.
    const opened = () => page.evaluate(() => window.connection.state === "open");
    await until(opened, "a connection", visit === 0 ? 30000 : 7000);
    assert.equal(await page.evaluate(() => window.connection.transport), "long-poll");
    await publish(hub, sent, 3);
    await until(async () => (await page.evaluate(() => window.got)).length >= sent.length, "all updates");
    assert.deepEqual(await page.evaluate(() => window.got), sent);
  }
});

test("tabs that share have one connection, and the next takes over", async (t) => {
  const hub = await Hub.start(t);
  const browser = await openChromium(t);
  const context = await browser.newContext();
  const script = await readFile(BUNDLE, "utf8");
  const tabs = [];
  for (let number = 0; number < 3; number += 1) {
    const page = await context.newPage();
    await page.goto(`${hub.origin}/health/live`);
    await page.addScriptTag({ content: script });
    await page.evaluate(() => {
      window.got = [];
      window.connection = window.tidings.connect("/.well-known/mercure", {
        topics: "urn:a",
        share: "all",
        onUpdate: (update) => window.got.push(update.data),
      });
    });
    await until(() => page.evaluate(() => window.connection.state === "open"), `tab ${number} to be open`);
    tabs.push(page);
  }
  const subscribers = async () => Number(/^tidings_subscribers (\d+)/m.exec(await (await fetch(`${hub.origin}/metrics`)).text())[1]);
  assert.equal(await subscribers(), 1);
  const sent = [];
  await publish(hub, sent, 3);
  await tabs[0].close();
  await publish(hub, sent, 3);
  for (const page of tabs.slice(1)) {
    await until(async () => (await page.evaluate(() => window.got)).length >= sent.length, "all updates in each tab");
    assert.deepEqual(await page.evaluate(() => window.got), sent);
  }
  await until(async () => (await subscribers()) === 1, "one connection for the tabs that are left");
});
