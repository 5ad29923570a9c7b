import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { assertNoFaults, openChromium, openPage, waitForTexts } from "../support/chromium.mjs";
import { Hub, matchState } from "../support/hub.mjs";

// Deque's axe, which knows the rules of WCAG.
const AXE = readFileSync(new URL("../node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const PAGES = ["/", "/chat/", "/chat/old/", "/scores/", "/scores/reporter.html", "/debugger/", "/diagnose/"];

test("the front page leads to all pages, and back", async (t) => {
  const hub = await Hub.start(t);
  const page = await openPage(await openChromium(t), `${hub.origin}/`);
  for (const [name, heading] of [["Chat", "Chat"], ["Live scores", "Live scores"], ["Debugger", "Debugger"], ["Diagnose", "What your network lets through"]]) {
    await page.locator("main").getByRole("link", { name, exact: true }).click();
    await page.getByRole("heading", { level: 1, name: heading }).waitFor();
    await page.getByRole("link", { name: "Tidings" }).click();
    await page.getByRole("heading", { level: 1, name: "The hub is running" }).waitFor();
  }
  assertNoFaults(page);
});

test("the short addresses of the pages work", async (t) => {
  const hub = await Hub.start(t);
  for (const path of ["/chat", "/scores", "/debugger", "/diagnose"]) {
    const answer = await fetch(`${hub.origin}${path}`);
    assert.deepEqual([answer.status, new URL(answer.url).pathname], [200, `${path}/`]);
    assert.match(answer.headers.get("content-security-policy"), /default-src 'self'/);
  }
});

test("an application loads the client from the hub, as a script and as a module", async (t) => {
  const hub = await Hub.start(t);
  const script = await fetch(`${hub.origin}/tidings.js`);
  assert.match(script.headers.get("content-type"), /^text\/javascript/);
  assert.equal(script.headers.get("access-control-allow-origin"), "*");
  const known = await fetch(`${hub.origin}/tidings.js`, { headers: { "If-None-Match": script.headers.get("etag") } });
  assert.equal(known.status, 304);
  const page = await openPage(await openChromium(t), `${hub.origin}/`);
  await page.addScriptTag({ url: "/tidings.js" });
  const names = (await page.evaluate(async () => [Object.keys(window.tidings), Object.keys(await import("/tidings.mjs"))])).map((list) => list.sort());
  assert.deepEqual(names, [["HubError", "connect", "follow", "publish"], ["HubError", "connect", "follow", "publish"]]);
  assertNoFaults(page);
});

test("every page can be used by keyboard and screen reader, on a phone and on a desk", async (t) => {
  const hub = await Hub.start(t);
  await fill(hub);
  const browser = await openChromium(t);
  for (const path of [...PAGES, "/nowhere"]) {
    for (const colorScheme of ["light", "dark"]) {
      const page = await openPage(browser, `${hub.origin}${path}`, { colorScheme, viewport: { width: 390, height: 740 } });
      if (path.startsWith("/chat")) await page.locator("#said li").first().waitFor();
      if (path === "/chat/") await page.locator("#people").waitFor();
      if (path.startsWith("/scores")) await page.locator(".match").first().waitFor();
      if (["/", "/diagnose/", "/debugger/"].includes(path)) await page.locator("[data-ready]").waitFor();
      await page.evaluate(() => document.querySelectorAll("details").forEach((details) => (details.open = true)));
      await page.evaluate(`${AXE}; undefined`); // not as an element, which the policy of the pages forbids
      for (const width of [390, 1280]) {
        await page.setViewportSize({ width, height: 800 });
        const { violations } = await page.evaluate(() => axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
        const found = violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => `${id} at ${target}: ${failureSummary}`));
        assert.deepEqual(found, [], `${path} ${colorScheme} ${width}`);
      }
      for (const width of [320, 344, 390, 768, 1280]) {
        await page.setViewportSize({ width, height: 800 });
        const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(over <= 0, `${path} is ${over} px too wide at ${width}`);
      }
      assert.deepEqual(page.faults.filter((fault) => path !== "/nowhere" || !fault.includes("404")), []);
      await page.context().close();
    }
  }
});

test("every page says what it needs without JavaScript", async (t) => {
  const hub = await Hub.start(t);
  const browser = await openChromium(t);
  for (const path of PAGES.slice(1)) {
    const page = await openPage(browser, `${hub.origin}${path}`, { javaScriptEnabled: false });
    await waitForTexts(page, "noscript", [await page.locator("noscript").textContent()]);
    assert.match(await page.locator("noscript").innerText(), /needs JavaScript/);
  }
});

async function fill(hub) {
  await hub.say("Ann", "Hello");
  await hub.say("Ben", `a${"very".repeat(60)}long word`);
  await hub.publish("/scores/1", matchState("1", ["A", "B"]));
}
