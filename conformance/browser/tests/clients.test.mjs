// Clients of Mercure 0.x that nobody here wrote: Symfony's library, the usual libraries for event streams, and a
// browser's own EventSource with a cookie.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createServer } from "node:http";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { promisify } from "node:util";
import { EventSource } from "eventsource";
import { openChromium, waitForTexts } from "../support/chromium.mjs";
import { until } from "../support/hub.mjs";
import { ServedHub } from "../support/served.mjs";
import { oldToken } from "../support/tokens.mjs";

const HUB = "/.well-known/mercure";
const SECRET = "the secret of an application of before 1.0";
const BOOK = "https://example.com/books/1";
const TEMPLATE = "https://example.com/books/{id}";
const reader = oldToken(SECRET, { subscribe: [TEMPLATE, "private-orders.1"] });
const publisher = oldToken(SECRET, { publish: ["*"] });

const settings = (more = "") => `
[hub]
public_url = "http://localhost/.well-known/mercure"
[dialects]
v0 = true
[[auth.issuers]]
key = "${SECRET}"
dialects = ["0.x"]
${more}
`;

test("symfony publishes and authorizes a visitor with its cookie", async (t) => {
  const hub = await ServedHub.start(t, settings());
  const stream = new EventSource(address(hub, [TEMPLATE, "private-orders.1"]), {
    fetch: (url, init) => fetch(url, { ...init, headers: { ...init.headers, Authorization: `Bearer ${reader}` } }),
  });
  t.after(() => stream.close());
  const events = [];
  stream.onmessage = (event) => events.push(event);
  stream.addEventListener("removed", (event) => events.push(event));
  await once(stream, "open");

  const environment = { ...process.env, HUB: `${hub.origin}${HUB}`, SECRET };
  const script = new URL("../fixtures/php/symfony.php", import.meta.url).pathname;
  const { stdout } = await promisify(execFile)("php", ["-d", "error_reporting=8191", script], { env: environment });
  const { ids, cookie } = JSON.parse(stdout);
  await until(() => events.length === 3, "three events");
  assert.deepEqual(events.map((event) => event.lastEventId), ids);
  assert.equal(ids[1], "urn:uuid:symfony");
  assert.deepEqual(JSON.parse(events[0].data), { title: 'Été & "co"' });
  assert.deepEqual([events[1].type, events[1].data], ["removed", ""]);
  assert.deepEqual(JSON.parse(events[2].data), { event: "Shipped", data: { id: 1 } });

  // The cookie is for the hub's path, and lets a visitor read what it names.
  assert.match(cookie, /^mercureAuthorization=[^;]+; expires=.*; path=\/\.well-known\/mercure; .*httponly; samesite=strict$/i);
  const visitor = (query) => fetch(`${hub.origin}${HUB}?${query}`, { headers: { Cookie: cookie.split(";")[0] } });
  // As Symfony's helper for templates writes the address: the cursor by both of its old names.
  const query = `topic=${encodeURIComponent(TEMPLATE)}&lastEventID=${ids[0]}&Last-Event-ID=${ids[0]}`;
  const answer = await visitor(query);
  assert.equal(answer.headers.get("last-event-id"), ids[0]);
  assert.match(await firstText(answer), /^:\n(event: removed\nretry: 2000\nid: urn:uuid:symfony\ndata: \n\n)?/);
  assert.equal((await fetch(`${hub.origin}${HUB}?${query}`)).status, 401);
});

test("eventsource resumes by the header where it was", async (t) => {
  const hub = await ServedHub.start(t, settings("[subscribe]\nanonymous = true\nretry_ms = 100"));
  const stream = new EventSource(address(hub, [TEMPLATE]));
  t.after(() => stream.close());
  const seen = [];
  stream.onmessage = (event) => seen.push(event.data);
  await once(stream, "open");
  await hub.publish(HUB, publisher, { topic: BOOK, data: "before" });
  await until(() => seen.length === 1, "the first event");
  await hub.kill();
  await hub.run();
  await hub.publish(HUB, publisher, { topic: BOOK, data: "meanwhile" });
  await until(() => seen.length === 2, "the event that was published meanwhile");
  assert.deepEqual(seen, ["before", "meanwhile"]);
});

test("fetch-event-source and the polyfill read private updates in a browser", async (t) => {
  const app = await application(t);
  const hub = await ServedHub.start(t, settings(`[cors]\norigins = ["${app.origin}"]\n[subscribe]\nretry_ms = 100`));
  const page = await open(t, app);
  await page.evaluate(
    async ([url, token]) => {
      const { fetchEventSource } = await import("/modules/@microsoft/fetch-event-source/lib/esm/index.js");
      const headers = { Authorization: `Bearer ${token}` };
      // It also calls onmessage, with nothing in it, for the reconnection time that the stream begins with.
      const onmessage = (event) => event.data && show(`fetch: ${event.data}`);
      await new Promise((resolve) => {
        fetchEventSource(url, { headers, onmessage, onopen: resolve });
      });
    },
    [address(hub, [TEMPLATE]), reader],
  );
  await page.addScriptTag({ url: "/modules/event-source-polyfill/src/eventsource.js" });
  await page.evaluate(
    ([url, token]) =>
      new Promise((resolve) => {
        const stream = new EventSourcePolyfill(url, { headers: { Authorization: `Bearer ${token}` } });
        stream.onopen = resolve;
        stream.onmessage = (event) => show(`polyfill: ${event.data}`);
      }),
    [address(hub, [TEMPLATE]), reader],
  );
  await hub.publish(HUB, publisher, { topic: BOOK, data: "1", private: "on" });
  await shown(page, ["fetch: 1", "polyfill: 1"]);
  // Each resumes in its own way: by the header, and by a parameter called lastEventId.
  const resumed = page.waitForRequest((request) => request.url().includes("lastEventId="));
  await hub.kill();
  await hub.run();
  await hub.publish(HUB, publisher, { topic: BOOK, data: "2", private: "on" });
  await shown(page, ["fetch: 1", "fetch: 2", "polyfill: 1", "polyfill: 2"]);
  await resumed;
});

test("fetch-event-source comes back after each abrupt end and misses nothing", async (t) => {
  const app = await application(t);
  const table = '[subscribe]\nanonymous = true\nretry_ms = 10\nconnection_secs_max = 1\nend = "abrupt"';
  const hub = await ServedHub.start(t, settings(`[cors]\norigins = ["${app.origin}"]\n${table}`));
  const page = await open(t, app);
  await page.evaluate(
    async (url) => {
      const { fetchEventSource } = await import("/modules/@microsoft/fetch-event-source/lib/esm/index.js");
      const onmessage = ({ data }) => (data === "a cursor" ? (window.hasCursor = true) : data && show(data));
      window.opened = 0;
      await new Promise((resolve) => {
        const onopen = () => resolve((window.opened += 1));
        fetchEventSource(url, { onmessage, onopen });
      });
    },
    address(hub, [TEMPLATE]),
  );
  // A stream of one second may end before it has told a cursor, and the next one begins with what is new then.
  await until(async () => {
    await hub.publish(HUB, publisher, { topic: BOOK, data: "a cursor" });
    return page.evaluate(() => window.hasCursor);
  }, "a cursor");
  await page.evaluate(() => (window.opened = 0));
  const sent = [];
  const begun = Date.now();
  while ((await page.evaluate(() => window.opened)) < 3) {
    assert.ok(Date.now() - begun < 30000, "it came back in time");
    sent.push(`${sent.length}`.padStart(6, "0"));
    await hub.publish(HUB, publisher, { topic: BOOK, data: sent.at(-1) });
  }
  sent.push("last");
  await hub.publish(HUB, publisher, { topic: BOOK, data: "last" });
  await shown(page, sent);
});

test("a browser's EventSource reads private updates with a cookie across origins", async (t) => {
  const app = await application(t);
  const stranger = await application(t);
  const origins = `["${app.origin}"]`;
  const hub = await ServedHub.start(t, settings(`[cors]\norigins = ${origins}\n[publish]\norigins = ${origins}`));
  const cookie = (value) => ({
    name: "mercureAuthorization",
    value,
    domain: "localhost",
    path: HUB,
    httpOnly: true,
    sameSite: "Strict",
  });
  const page = await open(t, app);
  await page.context().addCookies([cookie(oldToken(SECRET, { subscribe: [TEMPLATE], publish: [TEMPLATE] }))]);
  assert.equal(await subscribe(page, address(hub, [TEMPLATE])), "open");
  await hub.publish(HUB, publisher, { topic: BOOK, data: "secret", private: "on" });
  await shown(page, ["secret"]);
  // The page publishes with its visitor's cookie, too: this origin is listed.
  assert.equal(await post(page, `${hub.origin}${HUB}`, BOOK), 200);
  await shown(page, ["from the page", "secret"]);

  // A page of another origin may do neither, though the browser sends the cookie along.
  const other = await open(t, stranger);
  await other.context().addCookies([cookie(oldToken(SECRET, { subscribe: [TEMPLATE], publish: [TEMPLATE] }))]);
  assert.equal(await subscribe(other, address(hub, [TEMPLATE])), "error");
  assert.equal(await post(other, `${hub.origin}${HUB}`, BOOK), "refused");
  await hub.publish(HUB, publisher, { topic: BOOK, data: "end" });
  await shown(page, ["end", "from the page", "secret"]);
});

function address(hub, topics) {
  const url = new URL(`${hub.origin}${HUB}`);
  topics.forEach((topic) => url.searchParams.append("topic", topic));
  return url.href;
}

// An application's own origin: an empty page, and the files of its npm packages.
async function application(t) {
  const server = createServer(async (request, response) => {
    const modules = "/modules/";
    try {
      if (!request.url.startsWith(modules)) throw new Error("the page");
      const path = `../node_modules/${request.url.slice(modules.length)}`;
      const file = await readFile(new URL(path.endsWith(".js") ? path : `${path}.js`, import.meta.url));
      response.writeHead(200, { "Content-Type": "text/javascript" }).end(file);
    } catch {
      response.writeHead(200, { "Content-Type": "text/html" }).end("<!doctype html><title>app</title><ul></ul>");
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return { origin: `http://localhost:${server.address().port}` };
}

async function open(t, app) {
  const page = await (await (await openChromium(t)).newContext()).newPage();
  await page.goto(app.origin);
  await page.evaluate(() => {
    window.show = (text) => {
      const item = document.createElement("li");
      item.textContent = text;
      const after = [...document.querySelectorAll("li")].find((other) => other.textContent > text);
      document.querySelector("ul").insertBefore(item, after ?? null);
    };
  });
  return page;
}

const shown = (page, texts) => waitForTexts(page, "li", texts);

const subscribe = (page, url) =>
  page.evaluate(
    (url) =>
      new Promise((resolve) => {
        const stream = new window.EventSource(url, { withCredentials: true });
        stream.onopen = () => resolve("open");
        stream.onerror = () => resolve("error");
        stream.onmessage = (event) => show(event.data);
      }),
    url,
  );

const post = (page, url, topic) =>
  page.evaluate(
    async ([url, topic]) => {
      const body = new URLSearchParams({ topic, data: "from the page" });
      try {
        return (await fetch(url, { method: "POST", body, credentials: "include" })).status;
      } catch {
        return "refused";
      }
    },
    [url, topic],
  );

// Returns what a stream begins with, and ends it.
async function firstText(answer) {
  const body = answer.body.getReader();
  const { value } = await body.read();
  await body.cancel();
  return new TextDecoder().decode(value);
}
