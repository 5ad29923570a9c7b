// The first page: what it offers to paste works as it is, and it shows what arrives.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { assertNoFaults, openChromium, openPage, texts, waitForConnection, waitForTexts } from "../support/chromium.mjs";
import { Hub, until } from "../support/hub.mjs";

const run = promisify(execFile);

// How each snippet is run: its file, and the command.
const LANGUAGES = {
  curl: ["publish.sh", "sh"],
  PHP: ["publish.php", "php"],
  Node: ["publish.mjs", "node"],
  Python: ["publish.py", "python3"],
  Ruby: ["publish.rb", "ruby"],
  Go: ["publish.go", "go", "run"],
  Java: ["Publish.java", "java"],
};

test("each program that publishes works as it is copied, and its update arrives on the page", async (t) => {
  const hub = await Hub.start(t);
  const folder = await mkdtemp(join(tmpdir(), "tidings-snippets-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const page = await openHome(await openChromium(t), hub);
  const ways = page.locator("#publish-ways label");
  assert.deepEqual(await ways.allTextContents(), Object.keys(LANGUAGES));
  for (const [language, [name, program, ...more]] of Object.entries(LANGUAGES)) {
    await ways.filter({ hasText: language }).locator("input").check();
    const code = await copied(page, "publish");
    assert.ok(code.includes(await hub.token()) && code.includes(`${hub.origin}/.well-known/mercure`), language);
    await writeFile(join(folder, name), code);
    const isThere = await run("sh", ["-c", `command -v ${program}`]).then(() => true, () => false);
    if (!isThere) {
      t.diagnostic(`${program} is not installed: the snippet for ${language} did not run`);
      continue;
    }
    await run(program, [...more, name], { cwd: folder });
    await page.locator("#arrivals li").first().filter({ hasText: `Hello from ${language}` }).waitFor();
  }
  assertNoFaults(page);
});

test("each page that subscribes works as it is copied", async (t) => {
  const hub = await Hub.start(t);
  const browser = await openChromium(t);
  const page = await openHome(browser, hub);
  for (const way of await page.locator("#subscribe-ways label").allTextContents()) {
    await page.locator("#subscribe-ways label").filter({ hasText: way }).locator("input").check();
    const code = await copied(page, "subscribe");
    const context = await browser.newContext();
    const pasted = await context.newPage();
    await pasted.route("**/index.html", (route) => route.fulfill({ contentType: "text/html", body: code }));
    await pasted.goto(`${hub.origin}/index.html`);
    // What was published before it was connected it does not show.
    await until(async () => {
      await hub.publish("https://example.com/hello", `for ${way}`);
      return (await texts(pasted, "#news li")).includes(`for ${way}`);
    }, `an update by ${way}`);
    await context.close();
  }
  // The choice is remembered.
  await page.reload();
  await page.locator("[data-ready]").waitFor();
  assert.match(await page.locator("#subscribe-code").textContent(), /tidings\.mjs/);
});

test("what goes on is counted", async (t) => {
  const hub = await Hub.start(t);
  const page = await openHome(await openChromium(t), hub);
  for (const text of ["one", "two", "three"]) await hub.publish("https://example.com/other", text);
  await waitForTexts(page, "#subscribers", ["1"]);
  await page.waitForFunction(() => Number(document.querySelector("#published").textContent) >= 3);
  assertNoFaults(page);
});

test("a hub in operation shows how to publish without giving a token away", async (t) => {
  const hub = await Hub.start(t);
  const page = await (await openChromium(t)).newPage();
  await page.route("**/settings.json", (route) => route.fulfill({ json: { hub: "/.well-known/mercure", pages: ["chat"], presence: false } }));
  await page.goto(`${hub.origin}/`);
  await page.getByText("put yours in place of YOUR_TOKEN").waitFor();
  assert.match(await page.locator("#publish-code").textContent(), /Bearer YOUR_TOKEN/);
  for (const hidden of ["#arrivals-card", "#counters", "main a[href='/debugger/']"]) {
    assert.equal(await page.locator(hidden).isVisible(), false, hidden);
  }
});

async function openHome(browser, hub) {
  const page = await openPage(browser, `${hub.origin}/`);
  await page.locator("[data-ready]").waitFor();
  await waitForConnection(page);
  await page.evaluate(() => (navigator.clipboard.writeText = async (text) => (window.copied = text)));
  return page;
}

async function copied(page, card) {
  const button = page.locator(`#copy-${card}`);
  // It says so for two seconds, so the page is watched before it begins.
  await Promise.all([button.filter({ hasText: "Copied" }).waitFor(), button.click()]);
  return page.evaluate(() => window.copied);
}
