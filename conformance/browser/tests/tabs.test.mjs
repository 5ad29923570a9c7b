// One person with everything open: over HTTP/1.1 a browser opens six connections to a host, and nothing may wait for one.

import assert from "node:assert/strict";
import { test } from "node:test";
import { openChromium, waitForConnection, waitForTexts, watch } from "../support/chromium.mjs";
import { firefoxPath, openFirefox, waitForTexts as waitForTextsInFirefox } from "../support/firefox.mjs";
import { Hub, matchState, until } from "../support/hub.mjs";

// Who waits for one of the six connections waits for ever, and only after 22 s does a WebSocket's silence say that it is lost.
// What waits for neither is there before that, also on a busy machine.
const SOON_MS = 15000;
const TABS = ["/chat/", "/chat/", "/scores/", "/scores/", "/scores/reporter.html", "/debugger/", "/debugger/", "/"];

test("eight tabs of everything work at once, and a ninth opens", async (t) => {
  const hub = await Hub.start(t);
  const context = await (await openChromium(t)).newContext();
  const tabs = [];
  for (const path of TABS) {
    const page = await context.newPage();
    page.setDefaultTimeout(20000);
    const faults = watch(page, hub.origin);
    await page.goto(`${hub.origin}${path}`);
    if (path === "/debugger/") {
      await page.locator("[data-ready]").waitFor();
      await page.getByRole("button", { name: "Subscribe", exact: true }).click();
    }
    await waitForConnection(page);
    tabs.push(Object.assign(page, { faults }));
  }
  const [chat, otherChat, board, otherBoard, reporter, debug, otherDebug, home] = tabs;

  await chat.getByLabel("Name").fill("Ann");
  await chat.getByLabel("Message").fill("Still here?");
  await chat.getByRole("button", { name: "Send" }).click();
  for (const page of [chat, otherChat]) await waitForTexts(page, "#said .text", ["Still here?"]);
  await debug.getByRole("button", { name: "Publish", exact: true }).click();
  await debug.locator("#publish-said.good").waitFor({ timeout: SOON_MS });
  for (const page of [debug, otherDebug]) await waitForTexts(page, "#events .data", ["Hello from the debugger"]);
  await hub.publish("/scores/1", matchState("1", ["Okafor"]));
  for (const page of [board, otherBoard, reporter]) await waitForTexts(page, ".match .score", ["1", "0"]);
  await hub.publish("https://example.com/hello", "to the first page");
  await home.getByText("to the first page").waitFor();
  await otherDebug.getByRole("button", { name: "Drop the connection" }).click();
  // It publishes sixty times.
  await otherDebug.locator("#drop-said.good").waitFor({ timeout: 60000 });

  const ninth = await context.newPage();
  await ninth.goto(`${hub.origin}/diagnose/`, { timeout: SOON_MS });
  await ninth.locator("#verdict[data-verdict='good'], #verdict[data-verdict='limited']").waitFor({ timeout: 20000 });
  assert.deepEqual(tabs.flatMap(({ faults }) => faults), []);
});

test("a page without a network says so at once, and one that is closed passes its connection on", async (t) => {
  const hub = await Hub.start(t);
  const context = await (await openChromium(t)).newContext();
  const [first, second] = [await context.newPage(), await context.newPage()];
  for (const page of [first, second]) {
    await page.goto(`${hub.origin}/scores/`);
    await waitForConnection(page);
  }
  const subscribers = async () => Number(/^tidings_subscribers (\d+)/m.exec(await (await fetch(`${hub.origin}/metrics`)).text())[1]);
  assert.equal(await subscribers(), 1);
  await context.setOffline(true);
  for (const page of [first, second]) await page.locator(`#state[data-state="offline"]`).waitFor({ timeout: SOON_MS });
  await hub.publish("/scores/1", matchState("1", ["Missed"]));
  await context.setOffline(false);
  for (const page of [first, second]) await waitForTexts(page, ".goals li", ["1′ Missed"]);
  await first.close();
  await until(async () => (await subscribers()) === 1, "the connection to be passed on");
  await hub.publish("/scores/1", matchState("1", ["Missed", "Seen"]));
  await waitForTexts(second, ".goals li", ["1′ Missed", "2′ Seen"]);
});

const options = firefoxPath ? {} : { skip: "Firefox is not installed (Debian: apt-get install firefox-esr)" };

test("Firefox: eight tabs work at once", options, async (t) => {
  const hub = await Hub.start(t);
  const context = await (await openFirefox(t)).createBrowserContext();
  const tabs = [];
  for (const path of ["/chat/", "/chat/", "/scores/", "/scores/", "/scores/", "/scores/reporter.html", "/chat/", "/"]) {
    const page = await context.newPage();
    page.setDefaultTimeout(20000);
    await page.goto(`${hub.origin}${path}`);
    // By time, not by frame: a window behind another one draws no frames.
    await page.waitForFunction(() => document.querySelector("#state")?.dataset.state === "open", { polling: 50 });
    tabs.push({ path, page });
  }
  await hub.say("Ann", "Still here?");
  await hub.publish("/scores/1", matchState("1", ["Okafor"]));
  for (const { path, page } of tabs) {
    if (path === "/chat/") await waitForTextsInFirefox(page, "#said .text", ["Still here?"]);
    if (path.startsWith("/scores/")) await waitForTextsInFirefox(page, ".match .score", ["1", "0"]);
  }
});
