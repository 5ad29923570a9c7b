import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { test } from "node:test";
import { openChromium } from "../support/chromium.mjs";
import { firefoxPath, openFirefox } from "../support/firefox.mjs";
import { Hub, TEST_SERVER, until } from "../support/hub.mjs";
import { ServedHub } from "../support/served.mjs";

// Those that work in a browser of today, from a page of another origin.
const TRANSPORTS = [
  "websocket",
  "xhr-streaming",
  "eventsource",
  "iframe-eventsource",
  "iframe-htmlfile",
  "xhr-polling",
  "iframe-xhr-polling",
  "jsonp-polling",
];
// Those of other browsers, which the library does not try here.
const OTHERS = ["xdr-streaming", "htmlfile", "xdr-polling"];
// Each unit of JavaScript's strings once, half surrogates included.
const EVERY_UNIT = Array.from({ length: 0x10000 }, (_, unit) => String.fromCharCode(unit)).join("");
// Texts of Unicode: what becomes an update keeps them.
const ODD_UNICODE = [
  "plain",
  " with spaces ",
  "100%",
  "%",
  "%%25 %20 %2520 %u0041 %zz %e9%",
  "50% off%",
  "\n",
  "\r\n\t\b\f\v",
  "\u0000",
  "a\u0000b\u001f\u007f\u0085",
  "\u2028\u2029",
  "\\u2028 \\n \\\\",
  "\"'\\/",
  "</script><!--<script>]]>",
  "\ufffd",
  "a\ufeff\ufffe\uffff",
  "é€😀",
  'a["x"]',
  "x".repeat(0x10000),
];
// Those that only what echoes keeps: an update is Unicode, and stompjs drops a mark at the head of a body.
const ODD = ["", "\ufeff", "\ud83d", "\ude00\ud83d", "a\udfff", EVERY_UNIT, ...ODD_UNICODE];

const BROWSERS = [
  {
    name: "Chromium",
    options: {},
    open: async (t) => {
      const browser = await openChromium(t);
      return { newContext: () => browser.newContext() };
    },
  },
  {
    name: "Firefox",
    options: firefoxPath ? {} : { skip: "Firefox is not installed (Debian: apt-get install firefox-esr)" },
    open: async (t) => {
      const browser = await openFirefox(t);
      return { newContext: () => browser.createBrowserContext() };
    },
  },
];

for (const { name, options, open } of BROWSERS) {
  test(`sockjs-client echoes every text through every transport that works in ${name}`, options, async (t) => {
    const pages = await servePages(t);
    const server = await startTestServer(t, `${pages}/sockjs.js`);
    const browser = await open(t);
    for (const transport of TRANSPORTS) {
      await t.test(transport, async () => {
        const { page, context } = await openLibrary(browser, pages);
        const numbers = Array.from({ length: 100 }, (_, number) => `number ${number}`);
        const sent = [...ODD, ...numbers];
        const result = await page.evaluate(echo, { url: `${server}/echo`, transport, json: JSON.stringify(sent) });
        assert.equal(result.transport, transport);
        assertSame(JSON.parse(result.json), sent);
        assert.deepEqual(result.closed, { code: 1000, wasClean: true });
        await context.close();
      });
    }
    await t.test("texts up to 256 KiB come whole", async () => {
      const { page, context } = await openLibrary(browser, pages);
      const powers = [1, 2, 4, 8, 13, 15, 15, 18];
      for (const transport of TRANSPORTS) {
        const json = JSON.stringify(powers.map(String));
        const result = await page.evaluate(echo, { url: `${server}/amplify`, transport, json });
        const wanted = powers.map((power) => "x".repeat(2 ** power));
        assertSame(JSON.parse(result.json), wanted);
      }
      await context.close();
    });
    await t.test("what the server closes is closed with its words", async () => {
      const { page, context } = await openLibrary(browser, pages);
      for (const transport of TRANSPORTS) {
        const closed = await page.evaluate(closing, { url: `${server}/close`, transport });
        assert.deepEqual(closed, { code: 3000, reason: "Go away!" }, transport);
      }
      for (const transport of OTHERS) {
        const closed = await page.evaluate(closing, { url: `${server}/echo`, transport });
        assert.deepEqual(closed, { code: 2000, reason: "All transports failed" }, transport);
      }
      await context.close();
    });
    await t.test("without WebSocket the library takes the next transport by itself", async () => {
      const { page, context } = await openLibrary(browser, pages);
      const result = await page.evaluate(echo, { url: `${server}/disabled_websocket_echo`, json: '["a"]' });
      assert.equal(result.transport, "xhr-streaming");
      assert.equal(result.json, '["a"]');
      await context.close();
    });
  });

  test(`stompjs speaks over SockJS in ${name}, with a broker that is another peer of the room`, options, async (t) => {
    const pages = await servePages(t);
    const hub = await startServed(t, pages);
    const browser = await open(t);
    const broker = await (await browser.newContext()).newPage();
    await broker.goto(`${pages}/blank.html`);
    await broker.evaluate(serveStomp, `ws://localhost:${hub.port}/ws/stomp`);
    const bodies = ["one é", "two\nlines", ...ODD_UNICODE];
    for (const transport of TRANSPORTS) {
      const { page, context } = await openLibrary(browser, pages);
      await page.addScriptTag({ content: await library("stomp.umd.js") });
      const url = `${hub.origin}/sockjs/room/stomp`;
      const received = await page.evaluate(stomp, { url, transport, json: JSON.stringify(bodies) });
      assertSame(JSON.parse(received), bodies);
      await context.close();
    }
  });
}

test("eight visitors chat, one by each transport, and all see one order", async (t) => {
  const pages = await servePages(t);
  const hub = await startServed(t, pages);
  const browser = await openChromium(t);
  const visitors = [];
  for (const transport of TRANSPORTS) {
    const { page } = await openLibrary(browser, pages);
    await page.evaluate(join, { url: `${hub.origin}/sockjs/room/chat`, transport });
    visitors.push({ transport, page });
  }
  const lines = 5;
  await Promise.all(visitors.map(({ transport, page }) => page.evaluate(speak, { name: transport, lines })));
  const heard = [];
  for (const { transport, page } of visitors) {
    await page.waitForFunction((count) => window.heard.length >= count, (TRANSPORTS.length - 1) * lines);
    heard.push({ transport, lines: await page.evaluate(() => window.heard) });
  }
  // Nobody hears itself, so the order of all is compared among what two have both heard.
  for (const one of heard) {
    const others = TRANSPORTS.filter((name) => name !== one.transport);
    const wanted = others.flatMap((name) => Array.from({ length: lines }, (_, number) => `${name} ${number}`));
    assert.deepEqual([...one.lines].sort(), wanted.sort(), one.transport);
    for (const other of heard) {
      const common = (lines) => lines.filter((line) => !line.startsWith(`${one.transport} `) && !line.startsWith(`${other.transport} `));
      assert.deepEqual(common(one.lines), common(other.lines), `${one.transport}, ${other.transport}`);
    }
  }
});

test("the hub's frames come through every transport, and a new session resumes", async (t) => {
  const hub = await Hub.start(t);
  const browser = await openChromium(t);
  // The hub's own origin, so that it needs no list; its pages take no script from elsewhere.
  const context = await browser.newContext({ bypassCSP: true });
  const page = await context.newPage();
  page.setDefaultTimeout(20000);
  await page.goto(`${hub.origin}/`);
  await page.addScriptTag({ content: await library("sockjs.js") });
  let cursor = "earliest";
  for (const transport of TRANSPORTS.filter((name) => !name.startsWith("iframe"))) {
    const topic = `https://example.com/${transport}`;
    await hub.publish(topic, "missed");
    const url = `${hub.origin}/sockjs?match=${encodeURIComponent(topic)}&last_event_id=${cursor}`;
    await page.evaluate(subscribe, { url, transport });
    await page.waitForFunction(() => window.frames_.some((frame) => frame.caught_up));
    const id = await hub.publish(topic, "live");
    await page.waitForFunction((id) => window.frames_.some((frame) => frame.update?.id === id), id);
    const data = await page.evaluate(() => window.frames_.flatMap((frame) => frame.update?.data ?? []));
    assert.deepEqual(data, ["missed", "live"], transport);
    cursor = id;
    await page.evaluate(() => window.socket.close());
  }
});

// Opens a page of another origin with the library in it.
async function openLibrary(browser, pages) {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.setDefaultTimeout(20000);
  await page.goto(`${pages}/sockjs.html`);
  return { page, context };
}

// Compares one by one: a difference in a long text is told by its place.
function assertSame(received, wanted) {
  for (const [number, text] of wanted.entries()) {
    const found = received[number];
    if (found === text) continue;
    const at = text.split("").findIndex((unit, place) => unit !== found?.[place]);
    const part = (whole) => JSON.stringify(whole?.slice(Math.max(0, at - 10), at + 20));
    assert.fail(`text ${number} of ${text.length} units differs at ${at}: ${part(found)}, not ${part(text)}`);
  }
  assert.equal(received.length, wanted.length);
}

async function library(name) {
  const folder = name.startsWith("stomp") ? "@stomp/stompjs/bundles" : "sockjs-client/dist";
  return readFile(new URL(`../node_modules/${folder}/${name}`, import.meta.url), "utf8");
}

// Serves the page and the library, as an application's own site does.
async function servePages(t) {
  const script = await library("sockjs.js");
  const site = createServer((request, response) => {
    const isScript = request.url === "/sockjs.js";
    response.setHeader("Content-Type", isScript ? "text/javascript" : "text/html; charset=utf-8");
    response.end(isScript ? script : '<!doctype html><title>SockJS</title><script src="/sockjs.js"></script>');
  });
  site.listen(0, "127.0.0.1");
  await once(site, "listening");
  t.after(() => {
    site.closeAllConnections();
    site.close();
  });
  return `http://localhost:${site.address().port}`;
}

async function startTestServer(t, libraryUrl) {
  const child = spawn(TEST_SERVER, ["--listen", "127.0.0.1:0", "--sockjs-library-url", libraryUrl], {
    stdio: ["ignore", "pipe", "inherit"],
    env: {},
  });
  t.after(async () => {
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text) => (output += text));
  const address = () => /http:\/\/127\.0\.0\.1:(\d+)/.exec(output);
  await until(address, "the test server's address");
  return `http://localhost:${address()[1]}`;
}

// The page in a frame is of the origin that the hub has here, which is not the one of its public URL: `*` lets it in. Only
// the named origin may put it in a frame.
function startServed(t, pages) {
  return ServedHub.start(
    t,
    `[hub]
public_url = "https://hub.example.com/.well-known/mercure"
[subscribe]
anonymous = true
[[auth.issuers]]
issuer = "https://issuer.example.com"
key = "0123456789abcdef0123456789abcdef"
[rooms]
access = "anonymous"
topics = ["chat", "stomp"]
origins = ["*", "${pages}"]
[sockjs]
enabled = true
library_url = "${pages}/sockjs.js"`,
  );
}

// What follows runs in pages. After a quick first request the library gives a transport from a third of a second to a whole
// one to open; here each has longer, for busy machines.

// Texts go to and fro as JSON: the ways of browsers' drivers are not made for half surrogates.
async function echo({ url, transport, json }) {
  const sent = JSON.parse(json);
  const socket = new SockJS(url, null, { timeout: 30000, ...(transport && { transports: [transport] }) });
  const received = [];
  const closed = new Promise((resolve) => (socket.onclose = resolve));
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    closed.then((event) => reject(new Error(`${event.code} ${event.reason}`)));
  });
  const name = socket.transport;
  const all = new Promise((resolve, reject) => {
    socket.onmessage = ({ data }) => {
      received.push(data);
      if (received.length === sent.length) resolve();
    };
    setTimeout(() => reject(new Error(`only ${received.length} came`)), 60000);
  });
  for (const text of sent) socket.send(text);
  await all;
  socket.close();
  const { code, wasClean } = await closed;
  return { transport: name, json: JSON.stringify(received), closed: { code, wasClean } };
}

async function closing({ url, transport }) {
  const socket = new SockJS(url, null, { transports: [transport], timeout: 30000 });
  const { code, reason } = await new Promise((resolve) => (socket.onclose = resolve));
  return { code, reason };
}

async function join({ url, transport }) {
  window.heard = [];
  window.socket = new SockJS(url, null, { transports: [transport], timeout: 30000 });
  window.socket.onmessage = ({ data }) => window.heard.push(data);
  await new Promise((resolve, reject) => {
    window.socket.onopen = resolve;
    window.socket.onclose = ({ code, reason }) => reject(new Error(`${code} ${reason}`));
  });
}

async function speak({ name, lines }) {
  for (let number = 0; number < lines; number += 1) {
    window.socket.send(`${name} ${number}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function subscribe({ url, transport }) {
  window.frames_ = [];
  window.socket = new SockJS(url, null, { transports: [transport], timeout: 30000 });
  window.socket.onmessage = ({ data }) => window.frames_.push(JSON.parse(data));
}

// A broker of STOMP 1.2 for one subscription at a time.
async function serveStomp(url) {
  const socket = new WebSocket(url);
  let subscription = "";
  socket.onmessage = ({ data }) => {
    const end = data.indexOf("\n\n");
    const [command, ...fields] = data.slice(0, end).trim().split("\n");
    // The NUL at the end is no part of it, but one within may be.
    const body = data.slice(end + 2).replace(/\0\n*$/, "");
    const field = (name) => fields.find((line) => line.startsWith(`${name}:`))?.slice(name.length + 1);
    if (command === "CONNECT" || command === "STOMP") socket.send("CONNECTED\nversion:1.2\nheart-beat:0,0\n\n\0");
    if (command === "SUBSCRIBE") subscription = field("id");
    if (command === "SEND") {
      const id = `message-id:${Math.random()}\ndestination:${field("destination")}`;
      socket.send(`MESSAGE\nsubscription:${subscription}\n${id}\ncontent-length:${field("content-length")}\n\n${body}\0`);
    }
    if (field("receipt")) socket.send(`RECEIPT\nreceipt-id:${field("receipt")}\n\n\0`);
  };
  await new Promise((resolve) => (socket.onopen = resolve));
}

async function stomp({ url, transport, json }) {
  const bodies = JSON.parse(json);
  const peer = new StompJs.Client({ webSocketFactory: () => new SockJS(url, null, { transports: [transport], timeout: 30000 }) });
  const connected = new Promise((resolve, reject) => {
    peer.onConnect = resolve;
    peer.onStompError = (frame) => reject(new Error(frame.body));
  });
  peer.activate();
  await connected;
  const received = [];
  const all = new Promise((resolve, reject) => {
    peer.subscribe("/topic/books", ({ body }) => {
      received.push(body);
      if (received.length === bodies.length) resolve();
    });
    setTimeout(() => reject(new Error(`only ${received.length} came: ${JSON.stringify(received).slice(0, 300)}`)), 60000);
  });
  for (const body of bodies) peer.publish({ destination: "/topic/books", body });
  await all;
  await peer.deactivate();
  return JSON.stringify(received);
}
