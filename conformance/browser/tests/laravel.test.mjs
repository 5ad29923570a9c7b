// Laravel's Mercure driver and Laravel Echo: what an application sends, what a page asks for, and what users see, as
// docs/guide/laravel.md describes. The hub that serves a page is killed in the middle.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { connect } from "node:net";
import { test } from "node:test";
import { openChromium } from "../support/chromium.mjs";
import { startRedis } from "../support/cluster.mjs";
import { until } from "../support/hub.mjs";
import { ISSUER, Laravel, PREFIX, SECRET } from "../support/laravel.mjs";

const ENVELOPE = "%7B%22channels%22%3A%5B";

test("the driver's requests are these bytes, and reach subscribers unchanged", async (t) => {
  const laravel = await Laravel.start(t);
  const odd = ["a b", "ü€😀", "a/b", "a:b", "a*b", "a(b)", "a{b}", "a?b#c", "a%b", "a%20b", "a\\b", ".", "..", "__proto__", `<a>"b"`];
  await laravel.broadcast(["news", "sport"], "App\\Events\\Shipped", { order: 1, path: "a/b", name: "ü" });
  await laravel.broadcast(["private-orders.1"], "App\\Events\\Shipped", { order: 2 }, "abc");
  await laravel.broadcast(["presence-room.1", "private-encrypted-x"], "Said", {});
  assert.deepEqual(laravel.published.slice(0, 3), [
    `topic=https%3A%2F%2Flaravel.alt%2Fecho%2Fchannel%2Fnews&topic=https%3A%2F%2Flaravel.alt%2Fecho%2Fchannel%2Fsport&data=${ENVELOPE}%22news%22%2C%22sport%22%5D%2C%22event%22%3A%22App%5C%5CEvents%5C%5CShipped%22%2C%22payload%22%3A%7B%22order%22%3A1%2C%22path%22%3A%22a%5C%2Fb%22%2C%22name%22%3A%22%5Cu00fc%22%7D%7D`,
    `topic=https%3A%2F%2Flaravel.alt%2Fecho%2Fchannel%2Fprivate-orders.1&data=${ENVELOPE}%22private-orders.1%22%5D%2C%22event%22%3A%22App%5C%5CEvents%5C%5CShipped%22%2C%22payload%22%3A%7B%22order%22%3A2%7D%2C%22socket%22%3A%22abc%22%7D&private=on`,
    `topic=https%3A%2F%2Flaravel.alt%2Fecho%2Fchannel%2Fpresence-room.1&data=${ENVELOPE}%22presence-room.1%22%5D%2C%22event%22%3A%22Said%22%2C%22payload%22%3A%5B%5D%7D&private=on`,
  ]);
  assert.match(laravel.published[3], /^topic=https%3A%2F%2Flaravel\.alt%2Fecho%2Fchannel%2Fprivate-encrypted-x&data=%7B%22channels%22%3A%5B%22private-encrypted-x%22%5D%2C%22data%22%3A%22eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0\.\.[\w.-]+%22%7D&private=on$/);
  for (const name of odd) await laravel.broadcast([`private-${name}`], "Odd", { name });

  // The same bytes once more, from a socket; what the subscriber reads is what the form says.
  const publisher = token(laravel, "publish", [{ match: "*" }]);
  const bodies = [...laravel.published];
  for (const body of bodies) assert.match(await post(laravel, publisher, body), /^HTTP\/1\.1 200 /);
  const wanted = bodies.map((body) => new URLSearchParams(body).get("data"));
  const topics = [...new Set(bodies.map((body) => new URLSearchParams(body).get("topic")))];
  const reader = token(laravel, "subscribe", topics.map((match) => ({ match })));
  const query = topics.map((topic) => `match=${encodeURIComponent(topic)}`).join("&");
  const read = await readEvents(laravel, `${query}&last_event_id=earliest`, reader, 2 * bodies.length);
  assert.deepEqual(read, [...wanted, ...wanted]);
});

// What Echo asks for, with the cookie that the application gave: the subscription API, the stream, a whisper.
test("a page's requests are these bytes, and a hub answers each", async (t) => {
  const laravel = await Laravel.start(t);
  const [cookie, document] = await authorise(laravel, "ada", ["news", "private-orders.1", "presence-a b", "private-forbidden"]);
  const { channel_names: channels } = document;
  assert.deepEqual(channels.at(-1), { name: "private-forbidden", denied: true });
  const origin = `Origin: ${laravel.origin}\r\n`;
  const presence = "https%3A%2F%2Flaravel.alt%2Fecho%2Fchannel%2Fpresence-a%2520b";
  const list = await exchange(laravel, `GET /.well-known/mercure/subscriptions/exact/${presence} HTTP/1.1`, `${origin}${cookie}`);
  assert.match(list, /^HTTP\/1\.1 200 /);
  assert.match(list, new RegExp(`access-control-allow-origin: ${laravel.origin}`, "i"));
  assert.match(list, /"subscriptions":\[\]/);
  const pattern = `%2F.well-known%2Fmercure%2Fsubscriptions%2F%3Amatch_type%2F${encodeURIComponent(presence)}%2F%3Asubscriber`;
  const query = `match=https%3A%2F%2Flaravel.alt%2Fecho%2Fchannel%2Fnews&match=https%3A%2F%2Flaravel.alt%2Fecho%2Fchannel%2Fprivate-orders.1&match=${presence}&match_urlpattern=${pattern}`;
  const stream = readEvents(laravel, query, cookie, 1);
  // The first event is the page's own beginning.
  const [own] = (await stream).map((data) => JSON.parse(data));
  assert.deepEqual([own.active, own.match_type, own.payload], [true, "exact", { user_id: "ada", user_info: { name: "Ada" } }]);

  const whisper = "topic=https%3A%2F%2Flaravel.alt%2Fecho%2Fwhisper%2Fprivate-orders.1&data=%7B%7D&private=on";
  const send = (headers, body = whisper) => exchange(laravel, "POST /.well-known/mercure HTTP/1.1", headers, body);
  assert.match(await send(`${origin}${cookie}`), /^HTTP\/1\.1 200 /);
  assert.match(await send("Origin: https://elsewhere.example\r\n" + cookie), /^HTTP\/1\.1 403 /);
  assert.match(await send(cookie), /^HTTP\/1\.1 403 /);
  assert.match(await send(origin), /^HTTP\/1\.1 401 /);
  // A member cannot forge an event of the application.
  assert.match(await send(`${origin}${cookie}`, whisper.replace("whisper%2F", "channel%2F")), /^HTTP\/1\.1 403 /);
});

test("Echo: public, private, encrypted and presence channels, whispers, toOthers, and a crash of the hub in the middle", async (t) => {
  await converse(t, await Laravel.start(t));
});

test("Echo's pages are on one hub of a cluster, the application publishes on another, and theirs dies", async (t) => {
  const cluster = await startRedis(t);
  await converse(t, await Laravel.start(t, { more: [cluster("one"), cluster("two")] }));
});

test("Echo renews its cookie: a stream that ends with its token goes on, and a whisper with an old one is sent again", async (t) => {
  // Ben's streams stay: a whisper between two of them would be lost if his cookie, too, were renewed too late, which one
  // second decides on a busy machine. Echo opens a refused stream of whispers without its cursor.
  const laravel = await Laravel.start(t, { expiresIn: { ada: 6 } });
  const browser = await openChromium(t);
  const [ada, ben] = [await laravel.open(browser, "ada"), await laravel.open(browser, "ben")];
  await ada.evaluate(listenToAll);
  await shows(ada, (seen) => seen.includes("here Ada"));
  await ben.evaluate(listenToAll);
  await shows(ben, (seen) => seen.includes("here Ada,Ben"));
  await shows(ada, (seen) => count(seen, "joining Ben") === 1);
  const before = await ada.evaluate(() => window.echo.connector.authorisations);
  await until(() => ada.evaluate((count) => window.echo.connector.authorisations >= count + 2, before), "two renewals");
  await laravel.broadcast(["private-orders.1"], "App\\Events\\Said", { text: "renewed" });
  for (const page of [ada, ben]) await shows(page, (seen) => count(seen, "private renewed") === 1);
  const whisper = (text) => ada.evaluate((text) => window.echo.private("orders.1").whisper("typing", { text }), text);
  await until(async () => {
    await whisper("early");
    return (await ben.evaluate(() => window.seen)).includes("whisper private early");
  }, "a first whisper");
  // The clock of the page sleeps past the token's end: nothing renews the cookie before the whisper does. A renewal that
  // is under way, by the clock or by an early whisper, would wind the clock up again, so no new timer runs.
  await ada.evaluate(() => {
    const { connector } = window.echo;
    window.awake = window.setTimeout;
    window.setTimeout = () => 0;
    clearTimeout(connector.renewing);
    connector.refresh = () => {};
    return connector.sending;
  });
  const status = () => ada.evaluate(() => fetch(window.echo.connector.hub, { method: "POST", credentials: "include" }).then((answer) => answer.status));
  await until(async () => (await status()) === 401, "the end of the token");
  await whisper("late");
  await ada.evaluate(async () => {
    const { connector } = window.echo;
    await connector.sending;
    window.setTimeout = window.awake;
    delete connector.refresh;
    connector.refresh();
  });
  await shows(ben, (seen) => count(seen, "whisper private late") === 1);
  // Nobody was seen to leave while streams changed hands.
  for (const page of [ada, ben]) assert.ok(!(await page.evaluate(() => window.seen)).some((line) => line.startsWith("leaving")));
});

// Two users and a second window of one talk over all kinds of channels, while the hub of some of them dies.
async function converse(t, laravel) {
  const browser = await openChromium(t);
  const ada = await laravel.open(browser, "ada");
  await ada.evaluate(listenToAll);
  await shows(ada, (seen) => seen.includes("here Ada"));
  const ben = await laravel.open(browser, "ben");
  await ben.evaluate(listenToAll);
  await shows(ben, (seen) => seen.includes("here Ada,Ben"));
  await shows(ada, (seen) => count(seen, "joining Ben") === 1);
  const again = await laravel.open(browser, "ben");
  await again.evaluate(listenToAll);
  await shows(again, (seen) => seen.includes("here Ada,Ben"));
  const pages = [ada, ben, again];
  for (const page of pages) await shows(page, (seen) => seen.includes("denied 403"));

  const channels = { public: "news", private: "private-orders.1", encrypted: "private-encrypted-x", presence: "presence-room.1" };
  const tell = async (text, socket) => {
    for (const channel of Object.values(channels)) await laravel.broadcast([channel], "App\\Events\\Said", { text }, socket);
  };
  const lines = (text) => Object.keys(channels).map((kind) => `${kind} ${text}`);
  const once = (text) => (seen) => lines(text).every((line) => count(seen, line) === 1);
  await tell("one");
  for (const page of pages) await shows(page, once("one"));
  await tell("to others", await ada.evaluate(() => window.echo.socketId()));
  for (const page of [ben, again]) await shows(page, once("to others"));

  const whisper = (text) => {
    for (const channel of [window.echo.private("orders.1"), window.echo.connector.encryptedPrivateChannel("x"), window.echo.join("room.1")]) channel.whisper("typing", { text });
  };
  const whispered = (text) => (seen) => ["private", "encrypted", "presence"].every((kind) => count(seen, `whisper ${kind} ${text}`) === 1);
  // A stream without a cursor receives what is sent from its beginning on.
  for (const page of pages) await page.waitForFunction(() => [...window.echo.connector.whispers.values()].every((each) => each?.readyState === EventSource.OPEN));
  await ben.evaluate(whisper, "hello");
  for (const page of [ada, again]) await shows(page, whispered("hello"));
  // Ben's streams, too, have a cursor from now on: what they miss reaches them afterwards.
  await ada.evaluate(whisper, "hi");
  for (const page of [ben, again]) await shows(page, whispered("hi"));

  const [dying] = laravel.hubs;
  await dying.kill();
  if (laravel.hubs.length === 1) await dying.run();
  await tell("missed");
  for (const page of pages) await shows(page, once("missed"));
  await ada.evaluate(whisper, "after");
  for (const page of [ben, again]) await shows(page, whispered("after"));

  // A second window of one is no second member; when the last one goes, the member leaves.
  await again.context().close();
  await ben.context().close();
  await shows(ada, (seen) => count(seen, "leaving Ben") === 1);
  await tell("last");
  await shows(ada, once("last"));
  const seen = await ada.evaluate(() => window.seen);
  assert.deepEqual(seen.filter((line) => /^(public|private|encrypted|presence) /.test(line)), ["one", "missed", "last"].flatMap(lines));
  // Each channel's whispers come by a stream of their own, so among channels there is no order.
  const whispers = ["encrypted", "presence", "private"].map((kind) => `whisper ${kind} hello`);
  assert.deepEqual(seen.filter((line) => line.startsWith("whisper")).toSorted(), whispers);
  assert.ok(!seen.includes("leaving Ada"), seen.join("; "));
}

// In the page: notes what each channel tells.
function listenToAll() {
  const note = (line) => window.seen.push(line);
  const names = (users) => users.map(({ name }) => name).toSorted().join();
  const { echo } = window;
  // This version of Echo knows the kinds of connectors that have encrypted channels, so it is asked past it.
  const encrypted = echo.connector.encryptedPrivateChannel("x");
  const kinds = { public: echo.channel("news"), private: echo.private("orders.1"), encrypted, presence: echo.join("room.1") };
  for (const [kind, channel] of Object.entries(kinds)) {
    channel.listen("Said", ({ text }) => note(`${kind} ${text}`));
    if (kind !== "public") channel.listenForWhisper("typing", ({ text }) => note(`whisper ${kind} ${text}`));
  }
  kinds.presence.here((users) => note(`here ${names(users)}`));
  kinds.presence.joining(({ name }) => note(`joining ${name}`)).leaving(({ name }) => note(`leaving ${name}`));
  echo.private("forbidden").error(({ status }) => note(`denied ${status}`));
}

const count = (seen, line) => seen.filter((each) => each === line).length;

async function shows(page, condition) {
  let seen = [];
  await until(async () => condition((seen = await page.evaluate(() => window.seen))), () => `a page; it shows ${seen.join("; ")}`, 30000);
}

// Returns the header with the cookie, and the document.
async function authorise(laravel, user, names) {
  const headers = { Cookie: `laravel_session=${user}`, "Content-Type": "application/json" };
  const answer = await fetch(`${laravel.origin}/broadcasting/auth`, { method: "POST", headers, body: JSON.stringify({ channel_names: names }) });
  return [`Cookie: ${answer.headers.get("set-cookie").split(";")[0]}\r\n`, await answer.json()];
}

// Makes a token as the driver does.
function token(laravel, action, topics) {
  const now = Math.floor(Date.now() / 1000);
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const detail = { type: "https://mercure.rocks/authorization-detail", actions: [action], topics };
  const claims = { iss: ISSUER, aud: laravel.publicUrl, client_id: ISSUER, sub: ISSUER, iat: now, jti: "1", exp: now + 3600, authorization_details: [detail] };
  const text = `${part({ alg: "HS256", typ: "at+jwt" })}.${part(claims)}`;
  const signature = createHmac("sha256", SECRET).update(text).digest("base64url");
  return `Authorization: Bearer ${text}.${signature}\r\n`;
}

const post = (laravel, headers, body) => exchange(laravel, "POST /.well-known/mercure HTTP/1.1", headers, body);

// Sends exactly this request. Returns the response once the hub has closed the connection.
async function exchange(laravel, line, headers, body = "") {
  const socket = request(laravel, line, `${headers}Connection: close\r\n`, body);
  let text = "";
  for await (const piece of socket) text += piece;
  return text;
}

function request(laravel, line, headers, body) {
  const { host, port } = new URL(laravel.publicUrl);
  const socket = connect(Number(port), "127.0.0.1").setEncoding("utf8");
  const form = body ? `Content-Type: application/x-www-form-urlencoded\r\nContent-Length: ${body.length}\r\n` : "";
  socket.write(`${line}\r\nHost: ${host}\r\n${headers}${form}\r\n${body}`);
  return socket;
}

// Returns the data of the first `wanted` events of a stream.
async function readEvents(laravel, query, headers, wanted) {
  const socket = request(laravel, `GET /.well-known/mercure?${query} HTTP/1.1`, `${headers}Accept: text/event-stream\r\n`, "");
  let text = "";
  for await (const piece of socket) {
    text += piece;
    const events = [...text.matchAll(/^data: ?(.*)\n/gm)].map(([, data]) => data);
    if (events.length >= wanted) return events;
  }
  assert.fail(`the stream ended: ${text}`);
}
