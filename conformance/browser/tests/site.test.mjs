// The documentation site that `cargo xtask site` builds: each page as people see it. Pictures go to artifacts/screenshots/.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { access, mkdir, readFile, readdir } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, posix } from "node:path";
import { before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { assertNoFaults, launchChromium, openPage } from "../support/chromium.mjs";
import { listen } from "../support/ports.mjs";
import { SLOW } from "../support/slow.mjs";

const SITE = fileURLToPath(new URL("../../../target/site/", import.meta.url));
const PICTURES = fileURLToPath(new URL("../../../artifacts/screenshots/", import.meta.url));
const AXE = readFileSync(new URL("../node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const TYPES = { ".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".png": "image/png" };
const SHOWN = ["index", "guide/getting-started", "guide/concepts", "guide/configuration", "reference/http", "search"];
// Decision records are prose of one form: a few of them stand for all, except in the slow form.
const RECORDS_EACH = SLOW ? 1 : 6;
const WIDTHS = { wide: 1280, narrow: 390, small: 320 };

let pages;
before(async () => {
  await access(join(SITE, "index.html")).catch(() => assert.fail("run `cargo xtask site` first"));
  const files = await readdir(SITE, { recursive: true });
  pages = files.filter((file) => extname(file) === ".html" && !file.startsWith("_")).sort();
  assert.ok(pages.length > 60, `${pages.length} pages`);
});

test("each page of the site can be used by keyboard and screen reader, light and dark, from 320 px on", async (t) => {
  const { origin, browser } = await serve(t);
  await mkdir(PICTURES, { recursive: true });
  const page = await openPage(browser, `${origin}/`);
  const found = [];
  for (const path of pages) {
    const name = path.slice(0, -".html".length);
    await page.goto(`${origin}/${path}`);
    const looked = !path.startsWith("decisions/") || pages.indexOf(path) % RECORDS_EACH === 0;
    if (looked) await page.evaluate(`${AXE}; undefined`);
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      for (const [size, width] of Object.entries(WIDTHS)) {
        await page.setViewportSize({ width, height: 800 });
        const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        if (over > 0) found.push(`${path} is ${over} px too wide at ${width}`);
        if (!SHOWN.includes(name)) continue;
        await page.screenshot({ path: `${PICTURES}site-${name.replaceAll("/", "-")}-${size}-${colorScheme}.png` });
      }
      if (!looked) continue;
      await page.setViewportSize({ width: colorScheme === "light" ? 1280 : 390, height: 800 });
      // What surrounds a page is the same on all, and so is everything but colours in the dark.
      const part = SHOWN.includes(name) ? "html" : "#furo-main-content";
      const rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
      const runOnly = colorScheme === "light" ? rules : ["color-contrast"];
      const { violations } = await page.evaluate(([part, runOnly]) => axe.run(part, { runOnly }), [part, runOnly]);
      for (const { id, nodes } of violations) {
        found.push(...nodes.map(({ target, failureSummary }) => `${path} ${colorScheme}: ${id} at ${target}: ${failureSummary}`));
      }
    }
  }
  assert.deepEqual(found, []);
  assertNoFaults(page);
});

test("each link of the site has a target", async (t) => {
  const { origin, browser } = await serve(t);
  const page = await openPage(browser, `${origin}/`);
  const [links, ids] = [[], new Map()];
  for (const path of pages) {
    const html = await readFile(join(SITE, path), "utf8");
    const found = await page.evaluate((text) => {
      const parsed = new DOMParser().parseFromString(text, "text/html");
      const all = (selector, name) => [...parsed.querySelectorAll(selector)].map((element) => element.getAttribute(name));
      return { ids: all("[id]", "id"), links: [...all("[href]", "href"), ...all("[src]", "src")] };
    }, html);
    ids.set(path, new Set(found.ids));
    links.push(...found.links.map((link) => ({ path, link })));
  }
  assert.ok(links.length > 5000, `${links.length} links`);
  const broken = [];
  for (const { path, link } of links.filter(({ link }) => !/^(https?|mailto|data):/.test(link))) {
    const [address, heading] = link.split("#");
    const target = address ? posix.join(posix.dirname(path), decodeURI(address.split("?")[0])) : path;
    const known = ids.get(target) ?? (await access(join(SITE, target)).then(() => new Set(), () => null));
    if (!known || (heading && !known.has(decodeURIComponent(heading)))) broken.push(`${path}: ${link}`);
  }
  assert.deepEqual(broken, []);
});

test("the search finds a page, and the menus lead to it on a phone", async (t) => {
  const { origin, browser } = await serve(t);
  const page = await openPage(browser, `${origin}/`);
  await page.getByRole("textbox", { name: "Search" }).fill("retain_hours");
  await page.keyboard.press("Enter");
  await page.locator("#search-results").getByRole("link", { name: "Configuration > history.retain_hours" }).click();
  await page.getByRole("heading", { level: 1, name: "Configuration" }).waitFor();
  // On a phone the menu is closed, so the page of the search has a field of its own.
  await page.setViewportSize({ width: 390, height: 800 });
  await page.goto(`${origin}/search.html`);
  await page.getByLabel("Words").fill("grace_secs");
  await page.getByLabel("Words").press("Enter");
  await page.locator("#search-results").getByRole("link", { name: "Configuration > presence.grace_secs" }).waitFor();
  assert.equal(await page.getByLabel("Words").inputValue(), "grace_secs");
  await page.goto(`${origin}/`);
  const menu = page.getByRole("button", { name: "Toggle site navigation sidebar" });
  for (const open of [() => menu.click(), () => menu.press("Enter")]) {
    await open();
    await page.locator(".sidebar-drawer").getByRole("link", { name: "Concepts" }).click();
    await page.getByRole("heading", { level: 1, name: "Concepts" }).waitFor();
  }
  assertNoFaults(page);
});

test("the index for language models leads to each page as Markdown", async () => {
  const index = await readFile(join(SITE, "llms.txt"), "utf8");
  const named = [...index.matchAll(/\]\((.*?)\)/g)].map(([, path]) => path);
  assert.ok(named.length > 35, `${named.length} pages`);
  for (const path of named) assert.match(await readFile(join(SITE, path), "utf8"), /^(<!--.*-->\s*)*# /, path);
});

// Serves the site at an origin of its own, as a plain server of files would.
async function serve(t) {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    const path = pathname.endsWith("/") ? `${pathname}index.html` : pathname;
    try {
      const bytes = await readFile(join(SITE, decodeURI(path)));
      response.writeHead(200, { "Content-Type": TYPES[extname(path)] ?? "text/plain" }).end(bytes);
    } catch {
      response.writeHead(404).end();
    }
  });
  const origin = `http://127.0.0.1:${await listen(t, server)}`;
  const browser = await launchChromium();
  t.after(() => browser.close());
  return { origin, browser };
}
