// The package inside an application: hooks of React and Vue, a service worker, and Node.js, each with a hub that restarts.

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { build } from "esbuild";
import { openChromium } from "../../../../conformance/browser/support/chromium.mjs";
import { Hub, until } from "../../../../conformance/browser/support/hub.mjs";
import { connect, follow } from "../../dist/index.js";

const FIXTURES = fileURLToPath(new URL("../fixtures/", import.meta.url));
const DIST = fileURLToPath(new URL("../../dist/", import.meta.url));

/** Makes one script of a fixture, as an application's bundler does. */
async function bundle(name) {
  const alias = { "tidings-client/react": `${DIST}react.js`, "tidings-client/vue": `${DIST}vue.js` };
  const define = { "process.env.NODE_ENV": `"development"`, __VUE_OPTIONS_API__: "true", __VUE_PROD_DEVTOOLS__: "false", __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: "false" };
  const { outputFiles } = await build({ entryPoints: [FIXTURES + name], bundle: true, format: "iife", write: false, alias, define });
  return outputFiles[0].text;
}

async function openApplication(t, hub, script) {
  const page = await (await openChromium(t)).newPage();
  page.setDefaultTimeout(20000);
  await page.route("**/application.js", (route) => route.fulfill({ contentType: "text/javascript", body: script }));
  const html = `<!doctype html><meta charset="utf-8"><div id="app"></div><script src="/application.js"></script>`;
  await page.route("**/application", (route) => route.fulfill({ contentType: "text/html", body: html }));
  await page.goto(`${hub.origin}/application`);
  const shows = (id, text) => until(async () => (await page.locator(`#${id}`).textContent()) === text, `#${id} to show ${text}`);
  return { page, shows };
}

const subscribers = async (hub) => Number(/^tidings_subscribers (\d+)/m.exec(await (await fetch(`${hub.origin}/metrics`)).text())[1]);

for (const [name, fixture, unmount] of [["React", "react.jsx", "unmount"], ["Vue", "vue.js", "unmount"]]) {
  test(`${name}: the hook follows a hub that restarts, another topic, and ends with its component`, async (t) => {
    const hub = await Hub.start(t);
    const { page, shows } = await openApplication(t, hub, await bundle(fixture));
    await shows("state", "open");
    await hub.publish("urn:a", `{"n":1}`);
    await shows("last", "1");
    await hub.kill();
    await until(async () => (await page.locator("#state").textContent()) !== "open", "the loss to be shown");
    await hub.run();
    await hub.publish("urn:a", `{"n":2}`);
    await shows("seen", "1 2");
    await page.getByRole("button").click();
    await until(async () => (await subscribers(hub)) === 1 && (await page.locator("#state").textContent()) === "open", "the other topic");
    await hub.publish("urn:a", `{"n":3}`);
    await hub.publish("urn:b", `{"n":4}`);
    await shows("seen", "1 2 4");
    await page.evaluate((unmount) => window.root[unmount](), unmount);
    await until(async () => (await subscribers(hub)) === 0, "the connection to be closed");
  });
}

test("a service worker subscribes, and goes on after a restart of the hub", async (t) => {
  const hub = await Hub.start(t);
  const context = await (await openChromium(t)).newContext();
  const page = await context.newPage();
  // The browser takes a service worker from its own origin alone: the hub's own script is one.
  await page.goto(`${hub.origin}/health/live`);
  const [worker] = await Promise.all([
    context.waitForEvent("serviceworker"),
    page.evaluate(async () => {
      await navigator.serviceWorker.register("/tidings.js");
    }),
  ]);
  await worker.evaluate(() => {
    self.got = [];
    self.connection = self.tidings.connect("/.well-known/mercure", { topics: "urn:a", share: "worker", onUpdate: ({ data }) => self.got.push(data) });
  });
  const opened = () => until(() => worker.evaluate(() => self.connection.state === "open"), "the worker's connection");
  await opened();
  await hub.publish("urn:a", "one");
  await hub.kill();
  await hub.run();
  await hub.publish("urn:a", "two");
  await until(() => worker.evaluate(() => self.got.length === 2), "both updates");
  assert.deepEqual(await worker.evaluate(() => self.got), ["one", "two"]);
});

test("Node.js subscribes and publishes, and goes on after a restart of the hub", async (t) => {
  const hub = await Hub.start(t);
  const address = `${hub.origin}/.well-known/mercure`;
  const got = [];
  const connections = ["event-stream", "long-poll"].map((transport, at) => {
    got.push([]);
    return connect(address, { topics: "urn:a", transports: [transport], onUpdate: ({ data }) => got[at].push(data) });
  });
  t.after(() => connections.forEach((connection) => connection.close()));
  await until(() => connections.every(({ state }) => state === "open"), "both connections");
  await hub.publish("urn:a", "one");
  await hub.kill();
  await hub.run();
  await hub.publish("urn:a", "two");
  await until(() => got.every((list) => list.length === 2), "both updates by both");
  assert.deepEqual(got, [["one", "two"], ["one", "two"]]);
  for await (const { data } of follow(address, { topics: "urn:a", lastEventId: "earliest" })) {
    if (data === "two") break;
  }
  await until(async () => (await subscribers(hub)) <= 2, "the loop's connection to be closed");
});
