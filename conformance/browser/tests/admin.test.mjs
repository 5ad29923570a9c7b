// The page of operators, on the real hub: nothing without the token, and each thing that it shows or does.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { assertNoFaults, openChromium, openPage, texts, waitForTexts } from "../support/chromium.mjs";
import { Hub, until } from "../support/hub.mjs";
import { OPERATOR, SETTINGS, startOperated } from "../support/operated.mjs";

const AXE = readFileSync(new URL("../node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const FOLDER = fileURLToPath(new URL("../../../artifacts/screenshots/", import.meta.url));
const VIEWS = ["overview", "connections", "topics", "history", "explain", "tokens", "hub"];

test("without the token the page shows nothing, and a wrong one is refused", async (t) => {
  const { hub } = await startOperated(t);
  const page = await openPage(await openChromium(t), `${hub.adminOrigin}/admin/#connections`);
  await page.locator("#token").waitFor();
  for (const name of VIEWS) assert.equal(await page.locator(`#view-${name}`).isVisible(), false);
  assert.equal(await page.locator("#views").isVisible(), false);
  await page.locator("#token").fill("f".repeat(32));
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("This is not the token of operators.").waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.getItem("tidings.admin.token")), "");
  await page.locator("#token").fill(OPERATOR);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Connections" }).waitFor();
  // The token stays in the tab, in no cookie and in no address, and leaves with the operator.
  await page.reload();
  await page.getByRole("heading", { name: "Connections" }).waitFor();
  assert.deepEqual(await page.context().cookies(), []);
  assert.ok(!page.url().includes(OPERATOR));
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.locator("#token").waitFor();
  await page.reload();
  await page.locator("#token").waitFor();
  assert.deepEqual(page.faults.filter((fault) => !fault.includes("401")), []);
});

test("a developer's hub has the page on its own address, and shows the token at its start", async (t) => {
  const hub = await Hub.start(t);
  const [, token] = await until(() => /\/admin, with the token (\S+)\n/.exec(hub.output), "the token");
  const page = await openPage(await openChromium(t), `${hub.origin}/admin`);
  await page.locator("#token").fill(token);
  await page.keyboard.press("Enter");
  await page.locator(`#state[data-state="open"]`).getByText("Ready").waitFor();
  await page.getByRole("link", { name: "Topics" }).click();
  await page.getByText("Nothing was published since").waitFor();
  await hub.publish("/books/1", "a book");
  await page.locator("#topics-rows").getByText("/books/1").waitFor();
  assertNoFaults(page);
});

test("the overview shows what goes on", async (t) => {
  const operated = await startOperated(t);
  await operated.subscribe("match=often");
  const page = await signedIn(t, operated);
  for (let number = 0; number < 5; number += 1) await operated.publish("often", "x".repeat(100));
  const charts = page.locator("#charts svg");
  await page.locator(`#charts svg[aria-label^="Updates delivered: now"]`).first().waitFor();
  await until(async () => /at most [1-9]/.test(await charts.first().getAttribute("aria-label")), "a second with updates");
  await page.locator("#transports").getByText("event stream").waitFor();
  await page.locator("#history-facts").getByText("1 to 5").waitFor();
  await page.locator(`#state[data-state="open"]`).getByText("Ready").waitFor();
  assertNoFaults(page);
});

test("connections are filtered, disconnected, and their tokens revoked", async (t) => {
  const operated = await startOperated(t);
  const alice = await operated.subscribe("match=a&match_urlpattern=/books/:id", operated.token("alice"));
  const socket = await operated.websocket("match=b", operated.token("bob"));
  await operated.subscribe("match=a");
  const page = await signedIn(t, operated, "connections");
  const names = () => texts(page, "#connections-rows tr td:first-child > span:first-child");
  await until(async () => (await names()).length === 3, "three rows");
  await page.getByLabel("Subject", { exact: true }).fill("alice");
  await page.getByRole("button", { name: "Show", exact: true }).click();
  await until(async () => (await names()).join() === "alice", "one row");
  await page.getByText("1 of 3 subscribers").waitFor();
  await page.locator("#connections-rows").getByText("/books/:id").waitFor();
  await page.getByRole("button", { name: /^Disconnect alice/ }).click();
  await page.getByText("was ended. Its client may come back.").waitFor();
  await alice.ended;
  await page.getByRole("button", { name: "Clear" }).click();
  await page.getByLabel("Transport", { exact: true }).selectOption("WebSocket");
  await until(async () => (await names()).join() === "bob", "the other row");
  await page.getByRole("button", { name: "Revoke token of bob" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
  assert.deepEqual(await names(), ["bob"]);
  await page.getByRole("button", { name: "Revoke token of bob" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Revoke", exact: true }).click();
  await page.getByText("1 connections were ended").waitFor();
  assert.equal(await socket.ended, 4401);
  await page.getByRole("link", { name: "Tokens" }).click();
  await page.locator("#tokens-rows").getByText("token of bob").waitFor();
  await page.getByRole("button", { name: "Reinstate token of bob" }).click();
  await page.getByText("No token is revoked.").waitFor();
  await page.getByLabel(/^Its id/).fill(operated.token("carol", ["*"], "carol's"));
  await page.getByRole("button", { name: "Revoke", exact: true }).click();
  await page.locator("#tokens-rows").getByText("carol's").waitFor();
  assertNoFaults(page);
});

test("topics lead to the history, which can be purged", async (t) => {
  const operated = await startOperated(t);
  await operated.publish("/kept", `{"title":"A book","tags":["new"]}`);
  const page = await signedIn(t, operated, "topics");
  await page.getByText("Nothing was published since").waitFor();
  for (let number = 0; number < 4; number += 1) await operated.publish("/gone", `secret ${number}`, { private: "on" });
  await page.getByRole("button", { name: "History of /gone" }).click();
  await waitForTexts(page, "#updates pre", ["secret 3", "secret 2", "secret 1", "secret 0"]);
  assert.equal(await page.getByLabel("Topic", { exact: true }).inputValue(), "/gone");
  await page.getByRole("button", { name: "Purge this topic…" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Purge" }).click();
  await page.getByText("4 updates were withdrawn.").waitFor();
  await page.getByRole("button", { name: "Clear" }).click();
  await waitForTexts(page, "#updates pre", ['{\n  "title": "A book",\n  "tags": [\n    "new"\n  ]\n}']);
  assert.equal(await page.locator("#updates .tag.bad").count(), 4);
  await page.getByRole("button", { name: "/kept" }).click();
  await until(async () => (await page.locator("#updates > li").count()) === 1, "one update");
  await page.getByLabel("Event id").fill("urn:x:unknown");
  await page.getByRole("button", { name: "Show", exact: true }).click();
  await page.getByText("The history has no such update.").waitFor();
  assert.deepEqual(page.faults.filter((fault) => !fault.includes("404")), []);
});

test("a press on a button of a topic counts, whatever becomes of the list until the release", async (t) => {
  const operated = await startOperated(t);
  const page = await signedIn(t, operated, "topics");
  await page.getByText("Nothing was published since").waitFor();
  for (let number = 0; number < 3; number += 1) await operated.publish("/books", `book ${number}`);
  await operated.publish("/news", "news");
  await waitForTexts(page, "#topics-rows code", ["/books", "/news"]);
  await page.getByRole("button", { name: "History of /books" }).hover();
  await page.mouse.down();
  await operated.publish("/books", "book 3");
  for (let number = 0; number < 8; number += 1) await operated.publish("/news", "more news");
  await waitForTexts(page, "#topics-rows td:nth-child(3)", ["4", "9"]);
  await page.mouse.up();
  await waitForTexts(page, "#updates pre", ["book 3", "book 2", "book 1", "book 0"]);
  // What was published most comes first as soon as nothing is pressed.
  await page.getByRole("link", { name: "Topics" }).click();
  await waitForTexts(page, "#topics-rows code", ["/news", "/books"]);
  assertNoFaults(page);
});

test("explain says who gets an update and why not", async (t) => {
  const operated = await startOperated(t);
  await operated.subscribe("match=/a");
  await operated.subscribe("match=/a", operated.token("alice", ["/a"]));
  const page = await signedIn(t, operated, "explain");
  await page.getByLabel("Topics of an update").fill("/a");
  await page.getByLabel("private").check();
  await page.getByLabel("Token of a publisher").fill(operated.token("mallory", ["/b"]));
  await page.getByRole("button", { name: "Explain", exact: true }).click();
  await page.getByText("may not publish it").waitFor();
  await waitForTexts(page, "#explained .counters dd", ["1", "0", "1"]);
  await page.getByText("this subscriber presented no token").waitFor();
  await page.getByText("a subscribe grant of the token covers one of the topics").waitFor();
  assertNoFaults(page);
});

test("a reload shows the difference, and a drain asks first", async (t) => {
  const operated = await startOperated(t);
  const page = await signedIn(t, operated, "hub");
  await page.getByRole("button", { name: "Reload" }).click();
  await page.getByText("Nothing changed.").waitFor();
  await operated.hub.configure(`${SETTINGS}[pages]\nchat = true\n[presence]\nenabled = true\n`);
  await page.getByRole("button", { name: "Reload" }).click();
  await page.getByText("Applied").waitFor();
  await waitForTexts(page, "#reloaded code", ["pages.chat", "presence.enabled"]);
  await waitForTexts(page, "#reloaded ins", ["true", "true"]);
  await operated.hub.configure(`${SETTINGS}[pages]\nchat = 7\n`);
  await page.getByRole("button", { name: "Reload" }).click();
  await page.getByText("so nothing was changed").waitFor();
  await page.getByRole("button", { name: "Drain and stop…" }).click();
  await page.keyboard.press("Escape");
  assert.ok(operated.hub.isRunning);
  await page.getByRole("button", { name: "Drain and stop…" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Drain and stop" }).click();
  await page.getByText("The hub is stopping").waitFor();
  await until(() => !operated.hub.isRunning, "the end of the hub");
  await page.getByText("No answer").waitFor();
});

test("every view can be used by keyboard and screen reader, on a phone and on a desk", async (t) => {
  const operated = await startOperated(t);
  await fill(operated);
  const browser = await openChromium(t);
  for (const colorScheme of ["light", "dark"]) {
    const page = await openPage(browser, `${operated.hub.adminOrigin}/admin/`, { colorScheme, viewport: { width: 390, height: 740 } });
    await page.locator("[data-ready]").waitFor();
    await check(page, `sign-in ${colorScheme}`);
    await signIn(page);
    for (const name of VIEWS) {
      await page.goto(`${operated.hub.adminOrigin}/admin/#${name}`);
      await operated.publish("/scores/7", "live"); // what was published long ago is not among the topics
      await filled(page, name);
      await check(page, `${name} ${colorScheme}`);
    }
    // By keyboard alone.
    await page.setViewportSize({ width: 1280, height: 800 });
    await page.getByRole("link", { name: "History" }).focus();
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "History" }).waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.id), "history-title");
    assertNoFaults(page);
    await page.context().close();
  }
});

test("pictures of all views", async (t) => {
  const operated = await startOperated(t);
  await fill(operated);
  await mkdir(FOLDER, { recursive: true });
  const browser = await openChromium(t);
  const sizes = { wide: { width: 1400, height: 900 }, narrow: { width: 390, height: 780 }, small: { width: 320, height: 640 } };
  for (const [size, viewport] of Object.entries(sizes)) {
    for (const colorScheme of size === "small" ? ["light"] : ["light", "dark"]) {
      const page = await openPage(browser, `${operated.hub.adminOrigin}/admin/`, { viewport, colorScheme, reducedMotion: "reduce", locale: "en-GB" });
      await page.locator("[data-ready]").waitFor();
      const picture = (name) => page.screenshot({ path: `${FOLDER}admin-${name}-${size}-${colorScheme}.png`, fullPage: true });
      await picture("sign-in");
      await signIn(page);
      for (const name of VIEWS) {
        await page.goto(`${operated.hub.adminOrigin}/admin/#${name}`);
        await operated.publish("/scores/7", "live");
        await filled(page, name);
        await picture(name);
      }
      await page.context().close();
    }
  }
});

// Opens the page, signs in, and goes to a view.
async function signedIn(t, { hub }, view = "overview") {
  const page = await openPage(await openChromium(t), `${hub.adminOrigin}/admin/#${view}`);
  await signIn(page);
  await page.locator(`#view-${view} h1`).waitFor();
  return page;
}

async function signIn(page) {
  await page.locator("#token").fill(OPERATOR);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.locator("#views").waitFor();
}

// Publishers and subscribers of many kinds.
async function fill(operated) {
  const long = `https://example.com/${"very/".repeat(20)}long`;
  for (const name of ["alice", "bob", "chloé"]) {
    await operated.subscribe(`match=/scores/7&match=${encodeURIComponent(long)}&match_urlpattern=/books/:id&match=/x`, operated.token(name));
  }
  await operated.websocket("match=*", operated.token("dashboard-of-the-editorial-department-with-a-long-name"));
  await operated.subscribe("match=/scores/7");
  const { adminOrigin } = operated.hub;
  const authorization = { Authorization: `Bearer ${OPERATOR}` };
  await fetch(`${adminOrigin}/admin/v1/topics`, { headers: authorization });
  for (let number = 0; number < 12; number += 1) await operated.publish("/scores/7", `{"home":2,"away":${number},"phase":"second half"}`);
  await operated.publish(long, "word".repeat(2000), { private: "on", type: "changed" });
  await operated.publish("/gone", "secret");
  const post = (name, body) => fetch(`${adminOrigin}/admin/v1/${name}`, { method: "POST", headers: authorization, body: JSON.stringify(body) });
  await post("purge", { topic: "/gone" });
  await post("revoke", { id: "urn:uuid:5d4a2b3e-0b5c-4a9e-8a51-0d9f3d2c1b00" });
}

// Waits until a view has what it shows; fills in what it asks for.
async function filled(page, name) {
  await page.locator(`#view-${name} h1`).waitFor();
  if (name === "overview") await page.locator("#charts .line").first().waitFor({ state: "attached" });
  if (name === "connections") await page.locator("#connections-rows tr").nth(4).waitFor();
  if (name === "topics") await page.locator("#topics-rows tr").first().waitFor();
  if (name === "history") await page.locator("#updates > li").nth(5).waitFor();
  if (name === "tokens") await page.locator("#tokens-rows tr").first().waitFor();
  if (name === "explain") {
    await page.getByLabel("Topics of an update").fill("/scores/7");
    await page.getByLabel("private").check();
    await page.getByRole("button", { name: "Explain", exact: true }).click();
    await page.locator("#explained .reasons li").first().waitFor();
  }
  if (name === "hub") {
    await page.getByRole("button", { name: "Reload" }).click();
    await page.getByText("Nothing changed.").waitFor();
  }
}

async function check(page, what) {
  await page.evaluate(`${AXE}; undefined`); // not as an element, which the policy of the page forbids
  for (const width of [390, 1280]) {
    await page.setViewportSize({ width, height: 800 });
    const { violations } = await page.evaluate(() => axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
    const found = violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => `${id} at ${target}: ${failureSummary}`));
    assert.deepEqual(found, [], `${what} ${width}`);
  }
  for (const width of [320, 344, 390, 768, 1280]) {
    await page.setViewportSize({ width, height: 800 });
    const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(over <= 0, `${what} is ${over} px too wide at ${width}: ${await widest(page)}`);
  }
}

// Returns what reaches beyond the window.
function widest(page) {
  return page.evaluate(() => {
    const beyond = [...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > innerWidth && !one.closest("nav"));
    return beyond.slice(0, 5).map((one) => `${one.localName}#${one.id}.${one.className}`).join(" ");
  });
}
