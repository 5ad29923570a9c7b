// The TypeScript client on pages with few features, and on pages without a network.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { openChromium } from "../../../../conformance/browser/support/chromium.mjs";
import { Hub, until } from "../../../../conformance/browser/support/hub.mjs";
import { ServedHub } from "../../../../conformance/browser/support/served.mjs";

const BUNDLE = new URL("../../dist/tidings.global.js", import.meta.url);
const TRANSPORTS = ["event-stream", "websocket", "long-poll"];
/** Accepts pages without an origin. */
const SETTINGS = `
[hub]
public_url = "https://hub.test/.well-known/mercure"
[cors]
origins = ["null"]
[subscribe]
anonymous = true
[[auth.issuers]]
issuer = "https://hub.test"
algorithm = "HS256"
key = "a key that is only good for the tests of this client"
`;

/** Connects in a page or a frame. Its events are stored in its window. */
async function follow(frame, address, options) {
  await frame.addScriptTag({ content: await readFile(BUNDLE, "utf8") });
  await frame.evaluate(
    ([address, options]) => {
      window.got = [];
      window.states = [];
      window.connection = window.tidings.connect(address, {
        topics: "urn:a",
        ...options,
        onUpdate: (update) => window.got.push(update.data),
        onState: (state) => window.states.push(state),
      });
    },
    [address, options],
  );
  const state = () => frame.evaluate(() => window.connection.state);
  const got = () => frame.evaluate(() => window.got);
  return {
    got,
    open: () => until(async () => (await state()) === "open", "an open connection"),
    reaches: (wanted) => until(async () => (await state()) === wanted, `the state ${wanted}`),
    receives: async (wanted) => {
      await until(async () => (await got()).length >= wanted.length, `${wanted.length} updates`);
      assert.deepEqual(await got(), wanted);
    },
  };
}

for (const transport of TRANSPORTS) {
  test(`in a frame without an origin, which may not share, a tab connects by ${transport} itself`, async (t) => {
    const hub = await ServedHub.start(t, SETTINGS);
    const browser = await openChromium(t);
    const page = await (await browser.newContext()).newPage();
    await page.goto(`${hub.origin}/health/live`);
    await page.evaluate(() => {
      const frame = document.createElement("iframe");
      frame.sandbox = "allow-scripts";
      frame.srcdoc = "<!doctype html>";
      document.body.append(frame);
    });
    const frame = await until(() => page.frames()[1], "the frame");
    await frame.waitForLoadState();
    const refused = () => navigator.locks.request("x", () => {}).then(() => "", (error) => error.name);
    assert.equal(await frame.evaluate(refused), "SecurityError");
    const address = `${hub.origin}/.well-known/mercure`;
    const follower = await follow(frame, address, { share: "all", transports: [transport] });
    await follower.open();
  });
}

test("without a network the state says so at once, and with it everything that was missed comes", async (t) => {
  const hub = await Hub.start(t);
  const browser = await openChromium(t);
  for (const transport of TRANSPORTS) {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(`${hub.origin}/health/live`);
    // Detecting silence takes this long, and nothing here waits for it.
    const follower = await follow(page, "/.well-known/mercure", { transports: [transport], silenceSecs: 3600 });
    await follower.open();
    await hub.publish("urn:a", "before");
    await follower.receives(["before"]);
    await context.setOffline(true);
    await follower.reaches("offline");
    await hub.publish("urn:a", "during");
    const error = await page.evaluate(() => window.connection.publish({ topic: "urn:a" }).catch(({ name, code }) => ({ name, code })));
    assert.deepEqual(error, { name: "HubError", code: "unreachable" });
    await context.setOffline(false);
    await follower.open();
    await hub.publish("urn:a", "after");
    await follower.receives(["before", "during", "after"]);
    await context.close();
  }
});
