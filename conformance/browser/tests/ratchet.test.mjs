import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { openChromium, waitForTexts } from "../support/chromium.mjs";
import { until } from "../support/hub.mjs";

const BINARY = process.env.TIDINGS_BIN ?? fileURLToPath(new URL("../../../target/debug/tidings", import.meta.url));
const PAGES = "http://localhost:8000";

test("the Ratchet tutorial's page chats in two browsers on a listener of its own", async (t) => {
  const port = await startWithRoom(t);
  const browser = await openChromium(t);
  const [alice, bob] = [await tutorialPage(browser, port), await tutorialPage(browser, port)];
  for (const page of [alice, bob]) await waitForTexts(page, "#log li", ["Connection established!"]);
  await say(alice, "Hello <b>everybody</b> é€😀");
  await waitForTexts(bob, "#log li", ["Connection established!", "Hello <b>everybody</b> é€😀"]);
  await say(bob, "Hi");
  // Had she heard herself, that would stand before it.
  await waitForTexts(alice, "#log li", ["Connection established!", "Hi"]);
});

test("a page whose origin is not listed is refused", async (t) => {
  const port = await startWithRoom(t, "https://elsewhere.example");
  const browser = await openChromium(t);
  const page = await tutorialPage(browser, port);
  const code = await page.evaluate(
    (address) => new Promise((resolve) => (new WebSocket(address).onclose = (event) => resolve(event.code))),
    `ws://localhost:${port}`,
  );
  assert.equal(code, 1006);
});

async function tutorialPage(browser, port) {
  // Chromium asks its user before a page from elsewhere may reach this machine.
  const context = await browser.newContext({ permissions: ["local-network-access"] });
  const page = await context.newPage();
  const html = await readFile(new URL("../fixtures/ratchet.html", import.meta.url), "utf8");
  await page.route(`${PAGES}/**`, (route) =>
    route.fulfill({ contentType: "text/html; charset=utf-8", body: html.replaceAll("PORT", String(port)) }),
  );
  await page.goto(PAGES);
  return page;
}

async function say(page, text) {
  await page.locator("#text").fill(text);
  await page.locator("#send").click();
}

// Starts `tidings serve` with one listener that is a room, and returns its port.
async function startWithRoom(t, origin = "*") {
  const folder = await mkdtemp(join(tmpdir(), "tidings-browser-"));
  const config = join(folder, "tidings.toml");
  await writeFile(
    config,
    `[[listen]]
address = "127.0.0.1:0"
room = "chat"
[rooms]
access = "anonymous"
origins = ["${origin}"]
[hub]
public_url = "https://hub.example.com/.well-known/mercure"
[[auth.issuers]]
issuer = "https://issuer.example.com"
key = "0123456789abcdef0123456789abcdef"
[data]
dir = "${folder}"
[log]
level = "info"
format = "json"
`,
  );
  const child = spawn(BINARY, ["serve", "--config", config], { stdio: ["ignore", "ignore", "pipe"], env: {} });
  t.after(async () => {
    const exited = once(child, "exit");
    if (child.exitCode === null) {
      child.kill("SIGKILL");
      await exited;
    }
    await rm(folder, { recursive: true, force: true });
  });
  let log = "";
  child.stderr.setEncoding("utf8").on("data", (text) => (log += text));
  const lines = () => log.split("\n").filter((line) => line.startsWith("{")).flatMap((line) => {
    try {
      return [JSON.parse(line)];
    } catch {
      return [];
    }
  });
  const listening = () => lines().some((line) => line.message === "ready") && lines().find((line) => line.message === "listening");
  const line = await until(listening, () => `the hub's listener; it wrote: ${log}`);
  return Number(line.address.split(":").pop());
}
