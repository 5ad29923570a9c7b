// The articles' applications on different hubs of one cluster; the hub that serves the pages dies in the middle.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { PhpServer } from "../support/broker.mjs";
import { openChromium, openPage, waitForTexts } from "../support/chromium.mjs";
import { Entrance, startRedis } from "../support/cluster.mjs";
import { matchState, until } from "../support/hub.mjs";
import { freePort } from "../support/ports.mjs";
import { ServedHub } from "../support/served.mjs";
import { oldToken } from "../support/tokens.mjs";

const SECRET = "the secret of an application of before 1.0";
const ARTICLE_KEY = "clef-privee-2-romaric-net1nf";
const PATH = "/.well-known/mercure";

test("the chat, the live score and an old publisher use different hubs, and the pages' hub dies", async (t) => {
  const cluster = await startRedis(t);
  const entrance = await Entrance.start(t);
  const zeromq = { pull: await freePort(), pub: await freePort() };
  const sockets = {
    one: "",
    two: `[[zeromq.inputs]]\nsocket = "zmq-bind://PULL@127.0.0.1:${zeromq.pull}"\ntopic = "https://example.com/chat"\nevent_type = "msg"\n`,
    three: `[[zeromq.outputs]]\nsocket = "zmq-bind://PUB@127.0.0.1:${zeromq.pub}"\nformat = "data"\nmatch_exact = ["https://example.com/chat"]\n`,
  };
  for (const [node, more] of Object.entries(sockets)) entrance.hubs.push(await ServedHub.start(t, settings(entrance) + cluster(node) + more));
  const [one, two, three] = entrance.hubs;
  const browser = await openChromium(t);

  // The chat: what is said goes to the second hub by ZeroMQ and comes from the third one. A page of the hubs' own reads along.
  const php = await PhpServer.start(t, "examples/temma-chat", { CHAT_PULL: `127.0.0.1:${zeromq.pull}`, CHAT_PUB: `127.0.0.1:${zeromq.pub}` });
  const alice = await openPage(browser, php.origin);
  await until(async () => (await three.metric("tidings_zeromq_subscriptions")) >= 1, "the chat's subscription");
  const say = async (text) => {
    await alice.locator("#from").fill("Alice");
    await alice.locator("#text").fill(text);
    await alice.getByText("Send").click();
  };
  const reader = await openReader(browser, entrance, "https://example.com/chat");

  // The live score: the article's page is open on the first hub, its publisher posts to the second one.
  const folder = await mkdtemp(join(tmpdir(), "tidings-article-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await take("client.html", entrance.origin, folder);
  await take("publisher.php", two.origin, folder);
  const score = await browser.newPage();
  await score.goto(pathToFileURL(join(folder, "client.html")).href);
  const scorers = await openPage(browser, `${entrance.origin}/scores/`);
  await until(async () => (await one.metric("tidings_subscribers")) === 3, "three pages on the first hub");

  // Symfony's client publishes for 0.x to the third one.
  const books = await openReader(browser, entrance, "https://example.com/books/1");

  await say("Bonjour");
  await goal(folder, "Romaric");
  await publishState(three, matchState("1", ["Okafor"]));
  const first = await symfony(three);
  const title = 'Été & "co"';
  const shown = async (chat, names, home, ids) => {
    await waitForTexts(alice, "#liste li", chat.map((text) => `Alice: ${text}`));
    const said = (text) => JSON.stringify({ from: "Alice", text });
    await reads(reader, (seen) => seen.map(({ data }) => data), chat.map(said));
    await waitForTexts(score, "#scorers li", names);
    await waitForTexts(scorers, ".match .home .score", [String(home)]);
    await reads(books, (seen) => seen.map(({ id, data }) => [id, JSON.parse(data).title]), ids.map((id) => [id, title]));
  };
  await shown(["Bonjour"], ["Romaric"], 1, [first]);

  await one.kill();
  await say("Encore");
  await goal(folder, "Fabien");
  await publishState(two, matchState("1", ["Okafor", "Lund"]));
  const second = await symfony(three);
  await shown(["Bonjour", "Encore"], ["Romaric", "Fabien"], 2, [first, second]);

  // It comes back, has what it missed, and serves a page that was opened on another hub from the same cursor.
  await one.run();
  await goal(folder, "Été");
  await shown(["Bonjour", "Encore"], ["Romaric", "Fabien", "Été"], 2, [first, second]);
  const direct = await fetch(`${one.origin}${PATH}?topic=https://example.com/books/1&Last-Event-ID=${first}`);
  for await (const chunk of direct.body) {
    const text = Buffer.from(chunk).toString();
    if (!text.includes("id: ")) continue;
    assert.ok(text.includes(`id: ${second}`) && !text.includes(first), text);
    break;
  }
});

const settings = (entrance) => `
[hub]
public_url = "${entrance.origin}${PATH}"
[dialects]
v0 = true
v2019 = true
[[auth.issuers]]
key = "${SECRET}"
dialects = ["0.x"]
[[auth.issuers]]
key = "${ARTICLE_KEY}"
dialects = ["2019"]
[subscribe]
anonymous = true
retry_ms = 200
[cors]
origins = ["*"]
[publish]
origins = ["${entrance.origin}"]
[pages]
scores = true
`;

// A page that notes the public updates of a topic.
async function openReader(browser, entrance, topic) {
  const page = await browser.newPage();
  await page.route("**/reader", (route) => route.fulfill({ contentType: "text/html", body: "<!doctype html><title>Reader</title>" }));
  await page.goto(`${entrance.origin}/reader`);
  await page.evaluate(async (match) => {
    window.seen = [];
    const source = new EventSource(`/.well-known/mercure?match=${encodeURIComponent(match)}`);
    const note = ({ data, lastEventId }) => window.seen.push({ id: lastEventId, data });
    for (const type of ["message", "msg"]) source.addEventListener(type, note);
    await new Promise((resolve) => (source.onopen = resolve));
  }, topic);
  return page;
}

async function reads(page, select, expected) {
  let seen;
  const same = async () => JSON.stringify((seen = select(await page.evaluate(() => window.seen)))) === JSON.stringify(expected);
  await until(same, () => `a reader of ${JSON.stringify(expected)}; it has ${JSON.stringify(seen)}`);
}

// Copies one of the article's files, with the address of this hub instead of its own.
async function take(name, origin, folder) {
  const text = await readFile(new URL(`../fixtures/article/${name}`, import.meta.url), "utf8");
  await writeFile(join(folder, name), text.replaceAll("http://localhost/hub", `${origin}/hub`));
}

async function goal(folder, player) {
  const { stdout, stderr } = await promisify(execFile)("php", ["-f", join(folder, "publisher.php"), "--", player]);
  assert.deepEqual([stdout.startsWith("urn:uuid:"), stderr], [true, ""]);
}

async function publishState(hub, state) {
  const body = new URLSearchParams({ topic: `/scores/${state.id}`, data: JSON.stringify(state) });
  const headers = { Authorization: `Bearer ${oldToken(SECRET, { publish: ["*"] })}` };
  const answer = await fetch(`${hub.origin}${PATH}`, { method: "POST", headers, body });
  assert.equal(answer.status, 200, await answer.text());
}

// Publishes by symfony/mercure, and returns the id of the public update of the book.
async function symfony(hub) {
  const script = new URL("../fixtures/php/symfony.php", import.meta.url).pathname;
  const env = { ...process.env, HUB: `${hub.origin}${PATH}`, SECRET };
  const { stdout } = await promisify(execFile)("php", ["-d", "error_reporting=8191", script], { env });
  return JSON.parse(stdout).ids[0];
}
