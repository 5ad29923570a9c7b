// The article on live scores of 2019: its page opened as a file, its publisher run by php, its key.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { openChromium, waitForTexts } from "../support/chromium.mjs";
import { ServedHub } from "../support/served.mjs";

// What the article's line for docker says, in our words.
const SETTINGS = `
[hub]
public_url = "http://localhost/.well-known/mercure"
[dialects]
v2019 = true
demo = true
[[auth.issuers]]
key = "clef-privee-2-romaric-net1nf"
dialects = ["2019"]
[subscribe]
anonymous = true
[cors]
origins = ["*"]
[publish]
origins = ["http://localhost"]
`;

test("the article's two files work against the hub", async (t) => {
  const hub = await ServedHub.start(t, SETTINGS);
  const folder = await mkdtemp(join(tmpdir(), "tidings-article-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await take("client.html", hub, folder);
  await take("publisher.php", hub, folder);

  const page = await (await openChromium(t)).newPage();
  const faults = [];
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("console", (line) => line.type() === "error" && faults.push(line.text()));
  const opened = page.waitForResponse(`${hub.origin}/hub?topic=**`);
  await page.goto(pathToFileURL(join(folder, "client.html")).href);
  const answer = await opened;
  assert.equal(answer.status(), 200);
  assert.equal(answer.headers()["access-control-allow-origin"], "*");
  assert.equal(await answer.request().headerValue("origin"), "null");

  const first = await php(join(folder, "publisher.php"));
  assert.match(first, /^urn:uuid:[0-9a-f-]{36}$/);
  await waitForTexts(page, "#scorers li", ["Romaric"]);
  await waitForTexts(page, "#score", ["1 - 0"]);
  const second = await php(join(folder, "publisher.php"), "Fabien");
  assert.notEqual(second, first);
  await waitForTexts(page, "#scorers li", ["Romaric", "Fabien"]);

  // The browser comes back by itself, and misses nothing that was published meanwhile.
  await hub.kill();
  await hub.run();
  await php(join(folder, "publisher.php"), "Été");
  await waitForTexts(page, "#scorers li", ["Romaric", "Fabien", "Été"]);
  // While the hub was away the browser noted that it could not connect.
  assert.deepEqual(faults.filter((fault) => !fault.includes("net::ERR_")), []);
  assert.match(hub.log, /needs at least 32/);
});

test("php of that time spoke http 1.0", async (t) => {
  const hub = await ServedHub.start(t, SETTINGS);
  const folder = await mkdtemp(join(tmpdir(), "tidings-article-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const old = (text) => text.replace("'method' => 'POST'", "'method' => 'POST', 'protocol_version' => 1.0");
  await take("publisher.php", hub, folder, old);
  assert.match(await php(join(folder, "publisher.php")), /^urn:uuid:/);
});

// Copies one of the article's files, with the address of this hub instead of its own.
async function take(name, hub, folder, change = (text) => text) {
  const text = await readFile(new URL(`../fixtures/article/${name}`, import.meta.url), "utf8");
  assert.ok(text.includes("http://localhost/hub"));
  await writeFile(join(folder, name), change(text.replaceAll("http://localhost/hub", `${hub.origin}/hub`)));
}

async function php(file, ...words) {
  const { stdout, stderr } = await promisify(execFile)("php", ["-f", file, "--", ...words]);
  assert.equal(stderr, "");
  return stdout;
}
