import assert from "node:assert/strict";
import { test } from "node:test";
import { firefoxPath, openFirefox, openPage, waitForConnection, waitForTexts } from "../support/firefox.mjs";
import { Hub, matchState } from "../support/hub.mjs";

const options = firefoxPath ? {} : { skip: "Firefox is not installed (Debian: apt-get install firefox-esr)" };

test("Firefox: two people chat, and who comes back sees what was said", options, async (t) => {
  const hub = await Hub.start(t);
  const browser = await openFirefox(t);
  const alice = await openPage(browser, `${hub.origin}/chat/`);
  const bob = await openPage(browser, `${hub.origin}/chat/`);
  await Promise.all([waitForConnection(alice), waitForConnection(bob)]);
  await say(alice, "Alice", "Good evening");
  await waitForTexts(bob, "#said .text", ["Good evening"]);
  await say(bob, "Bob", "<b>Hello</b> é€😀");
  const said = ["Good evening", "<b>Hello</b> é€😀"];
  await waitForTexts(alice, "#said .text", said);
  await waitForTexts(bob, "#said .text", said);
  await alice.reload();
  await waitForTexts(alice, "#said .text", said);
  assert.equal(await alice.$eval("#from", ({ value }) => value), "Alice");
  assert.deepEqual([...alice.faults, ...bob.faults], []);
});

test("Firefox: a goal reaches three boards, and none is lost through a crash of the hub", options, async (t) => {
  const hub = await Hub.start(t);
  const browser = await openFirefox(t);
  await hub.publish("/scores/1", matchState("1", []));
  const boards = [];
  for (let count = 0; count < 3; count += 1) boards.push(await openPage(browser, `${hub.origin}/scores/`));
  for (const board of boards) await waitForTexts(board, ".match .score", ["0", "0"]);

  const goals = ["One"];
  await hub.publish("/scores/1", matchState("1", goals));
  for (const board of boards) await waitForTexts(board, ".goals li", ["1′ One"]);
  assert.deepEqual(boards.flatMap(({ faults }) => faults), []);

  await hub.kill();
  for (const board of boards) await board.waitForSelector(`#state:not([data-state="open"])`);
  await hub.run();
  for (const player of ["Two", "Three", "Four"]) {
    goals.push(player);
    await hub.publish("/scores/1", matchState("1", goals));
  }
  for (const board of boards) {
    await waitForTexts(board, ".goals li", ["1′ One", "2′ Two", "3′ Three", "4′ Four"]);
    await waitForTexts(board, "#updates", ["5"]);
    await waitForTexts(board, "#doubled", ["0"]);
  }
});

test("Firefox: dropping the connection loses nothing and doubles nothing", options, async (t) => {
  const hub = await Hub.start(t);
  const page = await openPage(await openFirefox(t), `${hub.origin}/debugger/`);
  await page.waitForSelector("[data-ready]");
  await page.click("#drop");
  await page.waitForSelector("#drop-said.good", { timeout: 60000 });
  await waitForTexts(page, "#received", ["60"]);
  for (const id of ["lost", "doubled", "disordered"]) await waitForTexts(page, `#${id}`, ["0"]);
  assert.deepEqual(page.faults, []);
});

async function say(page, name, text) {
  // Typing waits for frames, and a window behind another one draws none.
  await page.bringToFront();
  await page.locator("#from").fill(name);
  await page.locator("#text").fill(text);
  await page.click("#say button");
}
