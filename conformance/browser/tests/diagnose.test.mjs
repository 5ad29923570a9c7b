// What `/diagnose` says of networks that let everything pass, and of some that do not.

import assert from "node:assert/strict";
import { test } from "node:test";
import { assertNoFaults, openChromium, openPage, texts } from "../support/chromium.mjs";
import { startFilter } from "../support/filter.mjs";
import { Hub } from "../support/hub.mjs";
import { ServedHub } from "../support/served.mjs";

const SERVED = `
[hub]
public_url = "https://hub.test/.well-known/mercure"
[[auth.issuers]]
issuer = "https://issuer.test"
key = "a key that is only good for the tests of this hub"
`;

test("without anything in between everything passes, and the report says so", async (t) => {
  const hub = await Hub.start(t);
  const browser = await openChromium(t);
  const page = await openPage(browser, `${hub.origin}/diagnose/`, { permissions: ["clipboard-read", "clipboard-write"] });
  assert.deepEqual(await resultsOf(page), {
    "The hub": "passes",
    Requests: "passes",
    // A browser without TLS speaks HTTP/1.1.
    Protocol: "limited",
    "Event stream": "passes",
    WebSocket: "passes",
    "Long polling": "passes",
  });
  assert.equal(await page.locator("#verdict").textContent(), "Everything passes: updates come at once.");
  assert.match((await texts(page, ".found")).join("\n"), /HTTP\/1\.1 at the browser, HTTP\/1\.1 at the hub\. No proxy detected/);
  await page.getByRole("button", { name: "Copy" }).click();
  await page.getByText("Copied.").waitFor();
  const report = await page.evaluate(() => navigator.clipboard.readText());
  assert.equal(report, await page.locator("#report").textContent());
  for (const line of [/^Tidings: what the network lets through$/m, /^Event stream: passes\n  Opened after \d+ ms/m, /Chrome\//]) {
    assert.match(report, line);
  }
  assert.doesNotMatch(report, /127\.0\.0\.1/);
  // The page is watched before it begins, for it is ready again after some seconds.
  await Promise.all([page.locator("html:not([data-ready])").waitFor(), page.getByRole("button", { name: "Test again" }).click()]);
  assert.equal((await resultsOf(page))["Event stream"], "passes");
  assertNoFaults(page);
});

test("a proxy that holds streams back and knows no WebSocket is found out", async (t) => {
  const hub = await Hub.start(t);
  const port = await startFilter(t, () => hub.port);
  const rule = `--host-resolver-rules=MAP localhost:${hub.port} 127.0.0.1:${port}`;
  const page = await openPage(await openChromium(t, { flags: [rule] }), `${hub.origin}/diagnose/`);
  const results = await resultsOf(page);
  assert.deepEqual(
    [results["The hub"], results["Event stream"], results.WebSocket, results["Long polling"]],
    ["passes", "fails", "fails", "passes"],
  );
  assert.equal(await page.locator("#verdict").textContent(), "Event stream and WebSocket do not pass. Updates come by long polling.");
  const said = (await texts(page, "[data-result=fails]")).join("\n");
  assert.match(said, /arrived within \d+ ms: they are held back/);
  assert.match(said, /proxy_buffering off/);
  assert.match(said, /proxy_set_header Upgrade/);
  assert.match(await page.locator("#report").textContent(), /^WebSocket: fails\n  Refused after \d+ ms/m);
});

test("a hub that is in operation serves it if told so, and needs no token for it", async (t) => {
  const hub = await ServedHub.start(t, `${SERVED}\n[pages]\ndiagnose = true\n`);
  const page = await openPage(await openChromium(t), `${hub.origin}/diagnose/`);
  const results = await resultsOf(page);
  assert.deepEqual([...new Set(Object.values(results))].sort(), ["limited", "passes"]);
  assert.match((await texts(page, ".found"))[0], /it wants a token/);
  assert.deepEqual(await page.locator("nav a:visible").allTextContents(), ["Diagnose"]);

  const silent = await ServedHub.start(t, SERVED);
  for (const path of ["/diagnose/", "/diagnose/checks.js", "/.well-known/mercure/diagnose/events", "/.well-known/mercure/diagnose/poll"]) {
    assert.equal((await fetch(`${silent.origin}${path}`)).status, 404, path);
  }
});

// Waits for the end of all tests; returns what each of them found.
async function resultsOf(page) {
  await page.locator("html[data-ready]").waitFor({ timeout: 60000 });
  const cards = await page.locator("#checks > li").evaluateAll((items) =>
    items.map((item) => [item.querySelector(".name").textContent, item.dataset.result]),
  );
  return Object.fromEntries(cards);
}
