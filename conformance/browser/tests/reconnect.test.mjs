import assert from "node:assert/strict";
import { test } from "node:test";
import { openChromium, openPage, texts, waitForConnection, waitForTexts } from "../support/chromium.mjs";
import { Cutter } from "../support/cutter.mjs";
import { Hub, matchState, until } from "../support/hub.mjs";

test("goals scored while the connection is cut again and again all arrive, once", async (t) => {
  const hub = await Hub.start(t);
  const { page, cutter } = await openThroughCutter(t, hub, "/scores/");
  await waitForConnection(page);

  const goals = [];
  for (let round = 0; round < 3; round += 1) {
    await score(hub, goals, 5);
    cutter.refuse(true);
    cutter.cut();
    await page.locator(`#state:not([data-state="open"])`).waitFor();
    await score(hub, goals, 5);
    cutter.refuse(false);
    await waitForConnection(page);
  }
  // Cut without a pause, while goals come in: some are on their way when it happens.
  for (let cut = 0; cut < 5; cut += 1) {
    await score(hub, goals, 2);
    cutter.cut();
    await score(hub, goals, 2);
  }
  await assertAllOnce(page, goals);
});

test("goals scored around a crash of the hub all arrive, once", async (t) => {
  const hub = await Hub.start(t);
  const page = await openPage(await openChromium(t), `${hub.origin}/scores/`);
  await waitForConnection(page);
  const goals = [];
  for (let crash = 0; crash < 2; crash += 1) {
    await score(hub, goals, 6);
    await hub.kill();
    await page.locator(`#state:not([data-state="open"])`).waitFor();
    await hub.run();
    // Scored before the board is back: they come by replay.
    await score(hub, goals, 6);
    await waitForConnection(page);
  }
  await assertAllOnce(page, goals);
});

test("a match day survives a crash of the hub", async (t) => {
  const hub = await Hub.start(t);
  const browser = await openChromium(t);
  const board = await openPage(browser, `${hub.origin}/scores/`);
  const reporter = await openPage(browser, `${hub.origin}/scores/reporter.html?seed=5&speed=20`);
  await reporter.getByText("Publish token: set").waitFor();
  await reporter.getByRole("button", { name: "Play a match day" }).click();
  await until(async () => Number((await texts(board, "#updates"))[0]) >= 20, "twenty updates on the board");
  await hub.kill();
  await reporter.getByText("The hub cannot be reached. Trying again").waitFor();
  await hub.run();
  const finished = Array(6).fill("full time");
  for (const page of [board, reporter]) {
    page.setDefaultTimeout(120000);
    await waitForTexts(page, ".phase", finished);
  }
  assert.deepEqual(await texts(board, ".match .score"), await texts(reporter, ".match .score"));
  assert.deepEqual(await texts(board, ".goals li"), await texts(reporter, ".goals li"));
});

test("what is said while the connection is cut is there afterwards, once", async (t) => {
  const hub = await Hub.start(t);
  const { page, cutter } = await openThroughCutter(t, hub, "/chat/");
  await waitForConnection(page);
  await hub.say("Ann", "before");
  await waitForTexts(page, "#said .text", ["before"]);
  cutter.refuse(true);
  cutter.cut();
  await page.getByText("Connection lost, trying again").waitFor();
  await hub.say("Ben", "while away 1");
  await hub.say("Ben", "while away 2");
  cutter.refuse(false);
  await waitForConnection(page);
  await hub.say("Ann", "after");
  await waitForTexts(page, "#said .text", ["before", "while away 1", "while away 2", "after"]);
});

test("the stream is opened again after an answer that makes an EventSource give up", async (t) => {
  const hub = await Hub.start(t);
  const { page, cutter } = await openThroughCutter(t, hub, "/scores/", () => delete window.WebSocket);
  await waitForConnection(page);
  const goals = [];
  await score(hub, goals, 3);
  await waitForTexts(page, "#updates", ["3"]);
  let refused = 0;
  await page.route("**/.well-known/mercure?**", (route) => {
    refused += 1;
    return refused < 2 ? route.fulfill({ status: 502, body: "bad gateway" }) : route.continue();
  });
  cutter.cut();
  await score(hub, goals, 3);
  await assertAllOnce(page, goals);
  assert.ok(refused >= 2);
});

// The page has the hub's own origin; only its connections go through the proxy.
async function openThroughCutter(t, hub, path, prepare = () => {}) {
  const cutter = await Cutter.start(t, () => hub.port);
  const rule = `--host-resolver-rules=MAP localhost:${hub.port} 127.0.0.1:${cutter.port}`;
  const browser = await openChromium(t, { flags: [rule] });
  const page = await openPage(browser, `${hub.origin}/health/live`);
  await page.addInitScript(prepare);
  await page.goto(`${hub.origin}${path}`);
  return { page, cutter };
}

async function score(hub, goals, count) {
  for (let more = 0; more < count; more += 1) {
    goals.push(`Goal ${goals.length + 1}`);
    await hub.publish("/scores/1", matchState("1", goals));
  }
}

// Each goal was one update: the counters say that every one of them came, and none twice.
async function assertAllOnce(page, goals) {
  await waitForTexts(page, "#updates", [String(goals.length)]);
  await waitForTexts(page, ".match .score", [String(goals.length), "0"]);
  assert.deepEqual(await texts(page, ".goals li"), goals.map((player, at) => `${at + 1}′ ${player}`));
  assert.deepEqual(await texts(page, "#doubled"), ["0"]);
}
