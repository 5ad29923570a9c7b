import assert from "node:assert/strict";
import { test } from "node:test";
import { assertNoFaults, openChromium, openPage, waitForTexts } from "../support/chromium.mjs";
import { Hub, matchState } from "../support/hub.mjs";

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
  assert.deepEqual(names, [["HubError", "connect", "publish"], ["HubError", "connect", "publish"]]);
  assertNoFaults(page);
});

for (const path of PAGES) {
  test(`${path} can be used by keyboard and screen reader, on a phone and on a desk`, async (t) => {
    const hub = await Hub.start(t);
    await fill(hub);
    const browser = await openChromium(t);
    for (const colorScheme of ["light", "dark"]) {
      const page = await openPage(browser, `${hub.origin}${path}`, { colorScheme, viewport: { width: 360, height: 740 } });
      if (path.startsWith("/chat")) await page.locator("#said li").first().waitFor();
      if (path.startsWith("/scores")) await page.locator(".match").first().waitFor();
      if (path === "/diagnose/") await page.locator("[data-ready]").waitFor();
      if (path === "/debugger/") await page.locator("[data-ready]").waitFor();
      await page.evaluate(() => document.querySelectorAll("details").forEach((details) => (details.open = true)));
      assert.deepEqual(await page.evaluate(findBarriers), [], colorScheme);
      for (const width of [360, 768, 1280]) {
        await page.setViewportSize({ width, height: 800 });
        const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(over <= 0, `${over} px too wide at ${width}`);
      }
      assertNoFaults(page);
    }
  });
}

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

// Runs in the page. Returns what would stand in somebody's way, one line each.
function findBarriers() {
  const found = [];
  const all = (selector) => [...document.querySelectorAll(selector)];
  const name = (element) => `${element.tagName.toLowerCase()}#${element.id || "?"}.${element.className}`;
  const text = (element) => element.textContent.replace(/\s+/g, " ").trim();
  const shown = (element) => element.checkVisibility({ visibilityProperty: true });

  if (!document.documentElement.lang) found.push("the page has no language");
  if (!document.title) found.push("the page has no title");
  if (all("main").length !== 1) found.push("there is not exactly one main");
  if (all("h1").length !== 1) found.push("there is not exactly one h1");
  let level = 0;
  for (const heading of all("h1, h2, h3, h4")) {
    const own = Number(heading.tagName[1]);
    if (own > level + 1) found.push(`${name(heading)} skips a level`);
    level = own;
  }
  const ids = all("[id]").map(({ id }) => id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) found.push(`the id ${id} is given twice`);
  for (const field of all("input, select, textarea")) {
    const label = [...(field.labels ?? [])].map(text).join(" ") || field.getAttribute("aria-label");
    if (!label) found.push(`${name(field)} has no label`);
  }
  for (const control of all("button, a[href], summary")) {
    if (!text(control) && !control.getAttribute("aria-label")) found.push(`${name(control)} has no name`);
    if (control.tabIndex < 0) found.push(`${name(control)} cannot be reached by keyboard`);
  }
  for (const reference of all("[aria-labelledby], [for]")) {
    const id = reference.getAttribute("aria-labelledby") ?? reference.getAttribute("for");
    if (!document.getElementById(id)) found.push(`${name(reference)} refers to ${id}, which is not there`);
  }
  for (const state of all(".state")) {
    if (state.id === "state" && state.getAttribute("role") !== "status") found.push("the state is not announced");
  }
  for (const target of all("button, .top a")) {
    const { width, height } = target.getBoundingClientRect();
    if (shown(target) && (width < 24 || height < 24)) found.push(`${name(target)} is too small to hit`);
  }
  for (const element of all("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    if (!own || !shown(element) || element.matches(".unseen, .skip, :disabled, option, .unseen *")) continue;
    const ratio = contrast(element);
    if (ratio < 4.5) found.push(`${name(element)} "${text(element).slice(0, 30)}" has a contrast of ${ratio.toFixed(2)}`);
  }
  return found;

  // The contrast of WCAG 2.2, 1.4.3, against the nearest ground that is not transparent.
  function contrast(element) {
    let ground = element;
    while (ground && /, 0\)$|^transparent$/.test(getComputedStyle(ground).backgroundColor)) ground = ground.parentElement;
    const [a, b] = [getComputedStyle(element).color, ground ? getComputedStyle(ground).backgroundColor : "rgb(255, 255, 255)"];
    const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
    return (high + 0.05) / (low + 0.05);
  }

  function luminance(color) {
    const [r, g, b] = color.match(/[\d.]+/g).map(Number).map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }
}
