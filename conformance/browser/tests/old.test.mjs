import assert from "node:assert/strict";
import { test } from "node:test";
import { assertNoFaults, openChromium, openPage, waitForConnection, waitForTexts } from "../support/chromium.mjs";
import { Hub, until } from "../support/hub.mjs";

test("the page for old browsers is in one room with the chat", async (t) => {
  const hub = await Hub.start(t);
  await hub.say("Ann", "before");
  const browser = await openChromium(t);
  const old = await openPage(browser, `${hub.origin}/chat/old/`);
  await old.locator("#state.open").waitFor();
  assert.equal(await old.locator("#state").textContent(), "Connected by xhr");
  await waitForTexts(old, "#said li", ["Ann: before"]);
  const chat = await openPage(browser, `${hub.origin}/chat/`);
  await waitForConnection(chat);
  await old.getByLabel("Name").fill("Ben");
  await old.getByLabel("Message").fill("<b>é€😀</b>");
  await old.getByLabel("Message").press("Enter");
  await waitForTexts(chat, "#said .text", ["before", "<b>é€😀</b>"]);
  await hub.say("Ann", "after");
  await waitForTexts(old, "#said li", ["Ann: before", "Ben: <b>é€😀</b>", "Ann: after"]);
  await waitForTexts(chat, "#said .text", ["before", "<b>é€😀</b>", "after"]);
  assertNoFaults(old, chat);
});

test("where no request comes through it polls by scripts", async (t) => {
  const hub = await Hub.start(t);
  const browser = await openChromium(t);
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.route("**/sockjs/**/xhr?*", (route) => route.abort());
  await page.goto(`${hub.origin}/chat/old/`);
  await page.locator("#state.open").waitFor();
  assert.equal(await page.locator("#state").textContent(), "Connected by jsonp");
  for (const text of ["1", "\u2028 \\ \" </script>", "3"]) await hub.say("Ann", text);
  await waitForTexts(page, "#said li", ["Ann: 1", "Ann: \u2028 \\ \" </script>", "Ann: 3"]);
});

test("it resumes after the hub was killed, with nothing lost and nothing twice", async (t) => {
  const hub = await Hub.start(t);
  const browser = await openChromium(t);
  const page = await (await browser.newContext()).newPage();
  await page.goto(`${hub.origin}/chat/old/`);
  await page.locator("#state.open").waitFor();
  const lines = [];
  const say = async (text) => {
    await hub.say("Ann", text);
    lines.push(`Ann: ${text}`);
  };
  for (let round = 0; round < 3; round += 1) {
    await say(`${round} live`);
    await waitForTexts(page, "#said li", lines);
    await hub.kill();
    await page.locator("#state.waiting").waitFor();
    await hub.run();
    await say(`${round} missed`);
    await until(async () => (await page.locator("#said li").count()) >= lines.length, "the missed line");
    await waitForTexts(page, "#said li", lines);
  }
});

test("its scripts are ECMAScript 3", async (t) => {
  const hub = await Hub.start(t);
  for (const file of ["sockjs.js", "old.js"]) {
    const script = await (await fetch(`${hub.origin}/chat/old/${file}`)).text();
    const code = script.replace(/\/\/.*$/gm, "").replace(/"(?:[^"\\\n]|\\.)*"/g, '""');
    for (const young of [/\b(let|const|class|async|await)\b/, /=>/, /`/, /\.\.\./, /\bof\b/, /,\s*[}\]]/, /\.(forEach|map|filter|trim|bind|textContent|addEventListener|querySelector)\b/]) {
      assert.doesNotMatch(code, young, file);
    }
  }
});
