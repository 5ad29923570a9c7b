import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { openChromium, waitForTexts, watch } from "../support/chromium.mjs";
import { Broker, PhpServer } from "../support/broker.mjs";
import { Hub } from "../support/hub.mjs";

test("the tutorial's PHP application chats with Tidings as its broker", async (t) => {
  const broker = await Broker.start(t);
  const php = await PhpServer.start(t, "examples/temma-chat", { CHAT_PULL: broker.pull, CHAT_PUB: broker.pub });
  const browser = await openChromium(t);
  const [alice, bob] = [await phpPage(browser, php), await phpPage(browser, php)];
  // A stream's head comes before its subscription has reached the broker, and what is said before that is lost.
  await broker.subscriptions(2);

  await say(alice, "Alice", "Bonjour à tous");
  await waitForTexts(bob, "#liste li", ["Alice: Bonjour à tous"]);
  await say(bob, "Bob", `<b>"quoted"</b>/é€😀`);
  // Nothing is said without a name or a text, and the answer is the same.
  await say(bob, " ", "nobody");
  await say(alice, "Alice", "Au revoir");
  const all = ["Alice: Bonjour à tous", `Bob: <b>"quoted"</b>/é€😀`, "Alice: Au revoir"];
  await waitForTexts(alice, "#liste li", all);
  await waitForTexts(bob, "#liste li", all);
  assert.deepEqual([...alice.faults, ...bob.faults], []);
});

async function phpPage(browser, php) {
  const page = await (await browser.newContext()).newPage();
  await page.route(`${php.origin}/favicon.ico`, (route) => route.fulfill({ status: 204 }));
  const faults = watch(page, php.origin);
  const opened = page.waitForResponse(`${php.origin}/event/fetch`);
  await page.goto(php.origin);
  await opened;
  return Object.assign(page, { faults });
}

test("the tutorial's own page chats through the hub unchanged", async (t) => {
  const hub = await Hub.start(t);
  const browser = await openChromium(t);
  const [alice, bob] = [await tutorialPage(browser, hub), await tutorialPage(browser, hub)];

  await say(alice, "Alice", "Bonjour à tous");
  await waitForTexts(bob, "#liste li", ["Alice: Bonjour à tous"]);
  await say(bob, "Bob", `<b>"quoted"</b>/é€😀`);
  const both = ["Alice: Bonjour à tous", `Bob: <b>"quoted"</b>/é€😀`];
  await waitForTexts(alice, "#liste li", both);
  await waitForTexts(bob, "#liste li", both);
  assert.deepEqual([...alice.faults, ...bob.faults], []);
});

// The page is the application's, not the hub's: it is put under the hub's own origin as a proxy before both would do.
async function tutorialPage(browser, hub) {
  const page = await (await browser.newContext()).newPage();
  const serve = (path, file, contentType) =>
    page.route(`${hub.origin}${path}`, async (route) =>
      route.fulfill({ contentType, body: await readFile(new URL(`../../../examples/temma-chat/www/${file}`, import.meta.url)) }),
    );
  await serve("/", "page.html", "text/html; charset=utf-8");
  await serve("/chat.js", "chat.js", "text/javascript; charset=utf-8");
  await serve("/favicon.ico", "chat.js", "text/javascript");
  const faults = watch(page, hub.origin);
  const opened = page.waitForResponse(`${hub.origin}/event/fetch`);
  await page.goto(hub.origin);
  const answer = await opened;
  assert.equal(answer.status(), 200);
  assert.match(answer.headers()["content-type"], /^text\/event-stream/);
  return Object.assign(page, { faults });
}

async function say(page, from, text) {
  await page.locator("#from").fill(from);
  await page.locator("#text").fill(text);
  const answer = page.waitForResponse("**/message/broadcast");
  await page.getByText("Send").click();
  assert.equal(await (await answer).json(), true);
}
