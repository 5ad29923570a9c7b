// The examples as they stand, each with the real hub and a real browser.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { launchChromium, waitForTexts } from "../support/chromium.mjs";
import { Hub, until } from "../support/hub.mjs";

const EXAMPLES = fileURLToPath(new URL("../../../examples/", import.meta.url));
const AXE = readFileSync(new URL("../node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const MODULES = fileURLToPath(new URL("../node_modules", import.meta.url));

let browser;
before(async () => (browser = await launchChromium()));
after(() => browser.close());

test("notifications reach their user alone, also after a reload and a crash of the hub", async (t) => {
  const { hub, origin, open } = await example(t, "notifications");
  const [ada, ben] = [await open("/?user=ada"), await open("/?user=ben")];
  await hub.subscribers(2);
  const send = (page, user, text) => page.request.post(`${origin}/notifications`, { form: { user, text } });
  await ada.getByLabel("Text").fill("first");
  await ada.getByRole("button", { name: "Send" }).click();
  await waitForTexts(ada, "#items li", ["first"]);
  await send(ada, "ben", "for Ben");
  await waitForTexts(ben, "#items li", ["for Ben"]);
  await waitForTexts(ada, "#items li", ["first"]);
  // Ben's page asks for Ada's topic too, with Ben's cookie: it gets the public update alone.
  const topic = "https://example.com/users/ada/notifications";
  await hub.publish(topic, { text: "public" });
  const url = `${hub.origin}/.well-known/mercure?match=${encodeURIComponent(topic)}&last_event_id=earliest`;
  assert.equal((await ben.evaluate(readFirst, url)).text, "public");

  await ada.goto("about:blank");
  await send(ben, "ada", "missed");
  await ada.goto(`${origin}/?user=ada`);
  await waitForTexts(ada, "#items li", ["first", "missed"]);
  await hub.kill();
  await hub.run();
  await send(ben, "ada", "after the crash");
  await waitForTexts(ada, "#items li", ["first", "missed", "after the crash"]);
});

test("a live list has the same state in each page, whenever it was opened", async (t) => {
  const { hub, open } = await example(t, "live-list");
  const first = await open("/");
  await hub.subscribers(1);
  const add = async (page, title) => {
    await page.getByLabel("New task").fill(title);
    await page.getByRole("button", { name: "Add" }).click();
  };
  await add(first, "one");
  await waitForTexts(first, "#tasks label", ["one"]);
  const second = await open("/");
  await waitForTexts(second, "#tasks label", ["one"]);
  await hub.subscribers(2);
  await add(second, "two");
  await waitForTexts(first, "#tasks label", ["one", "two"]);
  await first.getByLabel("one").check();
  await second.locator("label", { hasText: "one" }).locator("input:checked").waitFor();
  // The pages reconnect by themselves and continue where they were.
  await hub.kill();
  await hub.run();
  await add(first, "three");
  for (const page of [first, second]) await waitForTexts(page, "#tasks label", ["one", "two", "three"]);
  await second.locator("label", { hasText: "one" }).locator("input:checked").waitFor();
});

test("a live table shows each page its part, and refuses a change of an old row", async (t) => {
  const { hub, origin, open } = await example(t, "live-table");
  const [all, shelfB] = [await open("/"), await open("/?shelf=B")];
  await hub.subscribers(2);
  const names = (page, expected) => waitForTexts(page, "#items td:first-child", expected);
  const press = (page, name) => page.getByRole("button", { name, exact: true }).click();
  for (const name of ["Lamp", "Chair"]) {
    await all.getByLabel("New item").fill(name);
    await press(all, "Add");
  }
  await names(all, ["Chair", "Lamp"]);
  await press(all, "To B: Lamp");
  await names(shelfB, ["Lamp"]);
  // The page of the other shelf never got the chair: the hub sends it nothing else than its part.
  await names(all, ["Chair", "Lamp"]);
  const counts = (page, expected) => waitForTexts(page, "#items td:nth-child(3)", expected);
  await press(shelfB, "+1: Lamp");
  await counts(all, ["0", "1"]);
  await press(all, "Count");
  await names(all, ["Lamp", "Chair"]);
  // A change that names an old version changes nothing, and says so.
  const { items } = await (await fetch(`${origin}/items`)).json();
  const lamp = items.find(({ name }) => name === "Lamp");
  const late = await all.request.post(`${origin}/change`, { form: { id: lamp.id, version: lamp.version - 1, count: 9 } });
  assert.deepEqual([late.status(), await late.json()], [409, lamp]);
  assert.equal(await shelfB.evaluate(() => items.size), 1);
  // What happens while the hub is away is there afterwards: a row that moved, and one that was removed.
  await hub.kill();
  await hub.run();
  await press(all, "To A: Lamp");
  await names(shelfB, []);
  await press(all, "Remove: Chair");
  await names(all, ["Lamp"]);
  const third = await open("/?shelf=A");
  await names(third, ["Lamp"]);
  await counts(third, ["1"]);
});

test("two people who change one row at once: the second is told", async (t) => {
  const { hub, open } = await example(t, "live-table");
  const [first, second] = [await open("/"), await open("/")];
  await hub.subscribers(2);
  await first.getByLabel("New item").fill("Lamp");
  await first.getByRole("button", { name: "Add" }).click();
  const add = (page) => page.getByRole("button", { name: "+1: Lamp" });
  for (const page of [first, second]) await add(page).waitFor();
  // The second page still shows the old row: what it knows is taken from it.
  await second.evaluate(() => (window.take = () => undefined));
  await add(first).click();
  await waitForTexts(first, "#items td:nth-child(3)", ["1"]);
  await add(second).click();
  await second.getByText("Somebody else was faster").waitFor();
  await waitForTexts(first, "#items td:nth-child(3)", ["1"]);
});

test("a chat is for its members, says who is there, and keeps a text that was not sent", async (t) => {
  const { hub, origin, open } = await example(t, "chat");
  const [ada, ben] = [await open("/?user=ada"), await open("/?user=ben")];
  const here = (page, names) => waitForTexts(page, "#people", [names]);
  for (const page of [ada, ben]) await here(page, "ada, ben");
  const say = async (page, text) => {
    await page.getByLabel("Message").fill(text);
    await page.getByRole("button", { name: "Send" }).click();
  };
  await say(ada, "Hello");
  for (const page of [ada, ben]) await waitForTexts(page, "#messages li", ["ada: Hello"]);

  const stranger = await open("/?user=mallory");
  await stranger.getByText("this room is for its members").waitFor();
  assert.equal((await stranger.request.post(`${origin}/messages`, { form: { user: "mallory", text: "x" } })).status(), 403);
  const topic = "https://example.com/rooms/lobby";
  await hub.publish(topic, { text: "public" });
  const url = `${hub.origin}/.well-known/mercure?match=${encodeURIComponent(topic)}&last_event_id=earliest`;
  assert.equal((await stranger.evaluate(readFirst, url)).text, "public");

  await hub.kill();
  await say(ben, "Is anybody there?");
  await ben.getByText("Your text is still there").waitFor();
  assert.equal(await ben.getByLabel("Message").inputValue(), "Is anybody there?");
  await hub.run();
  await ben.getByRole("button", { name: "Send" }).click();
  await ada.getByText("ben: Is anybody there?").first().waitFor();
  await ben.context().close();
  await here(ada, "ada");
  const late = await open("/?user=cleo");
  await late.getByText("ada: Hello").waitFor();
  await here(ada, "ada, cleo");
});

test("a job shows its progress, also in a page that is opened in the middle", async (t) => {
  const { open } = await example(t, "job-progress", { STEP_MS: "250" });
  // The second browser is ready before the job begins, which lasts five seconds.
  const [page, late] = [await open("/"), await open("/")];
  await page.getByRole("button", { name: "Start a job" }).click();
  await page.locator("#status", { hasText: /^[1-9]\d* of 20, running/ }).waitFor();
  await late.goto(page.url());
  await late.locator("#status", { hasText: /^[1-9]\d* of 20, running/ }).waitFor();
  for (const one of [page, late]) await waitForTexts(one, "#status", ["20 of 20, finished"]);
  assert.equal(await page.locator("#bar").evaluate((bar) => bar.value / bar.max), 1);
  await late.reload();
  await waitForTexts(late, "#status", ["20 of 20, finished"]);
});

test("an answer continues after a reload, and is the same in two pages", async (t) => {
  const { open } = await example(t, "token-stream", { TOKEN_MS: "20" });
  const page = await open("/");
  await page.getByRole("button", { name: "Ask" }).click();
  await longerThan(page, 20);
  const before = await text(page);
  const other = await open(`/${new URL(page.url()).search}`);
  await page.reload();
  await longerThan(page, before.length);
  assert.ok((await text(page)).startsWith(before));
  for (const one of [page, other]) await waitForTexts(one, "#end", ["finished"]);
  for (const one of [page, other]) assert.equal(await text(one), WHOLE);
});

test("an answer that is stopped has an end, also after a reload", async (t) => {
  // All of it would take twenty seconds: it is stopped before it ends by itself.
  const { open } = await example(t, "token-stream", { TOKEN_MS: "250" });
  const page = await open("/");
  await page.getByRole("button", { name: "Ask" }).click();
  await longerThan(page, 20);
  await page.getByRole("button", { name: "Stop" }).click();
  await waitForTexts(page, "#end", ["stopped"]);
  const stopped = await text(page);
  assert.ok(WHOLE.startsWith(stopped) && stopped.length < WHOLE.length, stopped);
  await page.reload();
  await waitForTexts(page, "#end", ["stopped"]);
  assert.equal(await text(page), stopped);
});

// What the example's model says.
const WHOLE = "Real-time push means that a server sends data to its clients as soon as there is any. ".repeat(5);
const text = (page) => page.locator("#answer").textContent();
const longerThan = (page, length) => until(async () => (await text(page)).length > length, `more than ${length} characters`);

test("two people edit one document at once, and a third finds all of it", async (t) => {
  const { hub, open } = await example(t, "collaborative-editing", { MODULES });
  const [ada, ben] = [await open("/"), await open("/")];
  await hub.subscribers(2);
  const area = (page) => page.getByLabel("Text");
  const value = (page) => area(page).inputValue();
  const both = (check) => until(async () => check(await value(ada)) && check(await value(ben)), "the same text");
  await area(ada).pressSequentially("middle");
  await both((text) => text === "middle");
  await area(ben).press("Home");
  await area(ada).press("End");
  await Promise.all([area(ada).pressSequentially(" and end"), area(ben).pressSequentially("start and ")]);
  await both((text) => text === "start and middle and end");
  // What is typed while the hub is away is sent when it is back.
  await hub.kill();
  await area(ada).press("End");
  await area(ada).pressSequentially(", later");
  await hub.run();
  await both((text) => text === "start and middle and end, later");
  const third = await open("/");
  await until(async () => (await value(third)) === "start and middle and end, later", "the whole document");
});

// Starts a hub and an example with it.
test("each page fits a phone, and can be used by keyboard and screen reader, light and dark", async (t) => {
  const paths = { chat: "/?user=ada", notifications: "/?user=ada" };
  for (const name of ["chat", "collaborative-editing", "job-progress", "live-list", "live-table", "notifications", "token-stream"]) {
    const { open } = await example(t, name, { MODULES });
    const page = await open(paths[name] ?? "/");
    await page.setViewportSize({ width: 320, height: 700 });
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name} is too wide for 320 px`);
    await page.evaluate(`${AXE}; undefined`);
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      const { violations } = await page.evaluate(() => axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
      assert.deepEqual(violations.map(({ id, nodes }) => `${name}: ${id} at ${nodes.map(({ target }) => target)}`), []);
    }
  }
});

async function example(t, name, environment = {}) {
  // Before what they talk to ends: a request that fails then is an error in a page.
  const contexts = [];
  t.after(() => Promise.all(contexts.map((context) => context.close())));
  const hub = await Hub.start(t);
  const child = spawn(process.execPath, ["app.mjs"], {
    cwd: join(EXAMPLES, name),
    env: {
      PATH: process.env.PATH,
      HUB: `${hub.origin}/.well-known/mercure`,
      KEY_FILE: join(hub.dataDir, "dev.key"),
      PORT: "0",
      ...environment,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (output += text));
  t.after(async () => {
    if (child.exitCode === null && child.kill()) await once(child, "exit");
  });
  await until(() => /Open (\S+)/.test(output) || child.exitCode !== null, () => `the example: ${output}`);
  const origin = /Open (\S+)/.exec(output)?.[1] ?? assert.fail(output);
  const open = async (path) => {
    const context = await browser.newContext();
    contexts.push(context);
    const page = await context.newPage();
    page.setDefaultTimeout(20000);
    page.on("pageerror", (error) => assert.fail(error));
    await page.goto(origin + path);
    return page;
  };
  return { hub, origin, open };
}

// Runs in the page: what it receives first, with the visitor's cookie.
function readFirst(url) {
  return new Promise((resolve) => {
    const source = new EventSource(url, { withCredentials: true });
    source.onmessage = (event) => resolve(JSON.parse(event.data)) ?? source.close();
  });
}
