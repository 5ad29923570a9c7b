// The choice of transport: in order, the last working one first; and each of them resumes.

import assert from "node:assert/strict";
import { test } from "node:test";
import { World } from "./support/world.mjs";

async function socket(world) {
  await world.settle();
  return world.sockets.at(-1);
}

/** Advances time until the next request. */
async function pause(world) {
  const { length } = world.requests;
  while (world.requests.length === length) await world.pass(100);
}

test("what does not open in time makes room for the next, down to long polling", async () => {
  const world = new World();
  world.connect();
  await world.request();
  await world.pass(8_000);
  assert.equal(world.requests[0].aborted, true);
  const ws = await socket(world);
  assert.equal(ws.url, "wss://hub.example.com/.well-known/mercure");
  await world.pass(8_000);
  assert.equal(ws.closed, true);
  const poll = await world.request();
  assert.equal(poll.headers.Prefer, "wait=0");
  assert.equal(poll.headers.Accept, "application/json");
  poll.json([{ id: "urn:1", data: "a", topics: ["urn:a"] }], "urn:1", "urn:0");
  const next = await world.request();
  assert.equal(next.headers["Last-Event-ID"], "urn:1");
  assert.equal(next.headers.Prefer, "wait=22");
  await world.pass(22_000);
  next.json([], "urn:5", "urn:1");
  const third = await world.request();
  assert.notEqual(third, next);
  assert.equal(third.headers["Last-Event-ID"], "urn:5");
  assert.deepEqual(world.told, [{ id: "urn:1", type: "message", data: "a", topics: ["urn:a"] }]);
  assert.equal(world.states.at(-1), "open by long-poll");
  assert.deepEqual(world.gaps, []);
  third.json([{ id: "urn:9", data: "b" }], "urn:9", "earliest");
  await world.settle();
  assert.deepEqual(world.gaps, ["urn:5"]);
});

test("what worked is tried first on the next visit", async () => {
  const world = new World();
  world.connect({ transports: ["event-stream", "long-poll"] });
  (await world.request()).answer(200, { "Content-Type": "text/html" }, "<p>a proxy</p>");
  (await world.request()).json([], "urn:0", "urn:0");
  await world.settle();
  assert.equal(world.connection.transport, "long-poll");
  world.connection.close();
  world.connect();
  assert.equal((await world.request()).headers.Accept, "application/json");
});

test("after all failed there is a pause, then the first again", async () => {
  const world = new World();
  world.connect({ transports: ["event-stream", "websocket"] });
  (await world.request()).fail();
  (await socket(world)).onerror();
  await world.settle();
  assert.equal(world.states.at(-1), "waiting");
  await world.pass(500);
  assert.equal((await world.request()).headers.Accept, "text/event-stream");
});

test("a way that this hub does not serve is not the end", async () => {
  const world = new World();
  world.connect({ transports: ["event-stream", "long-poll"] });
  (await world.request()).refuse(406);
  assert.equal((await world.request()).headers.Accept, "application/json");
});

test("a WebSocket presents the token, subscribes, and resumes", async () => {
  const world = new World();
  world.connect({ transports: ["websocket"], topics: ["urn:a"], patterns: ["/b/*"], token: "T" });
  const ws = await socket(world);
  ws.say({ open: { last_event_id: "urn:0", ping_secs: 30 } });
  const subscribe = { match: ["urn:a"], match_urlpattern: ["/b/*"] };
  assert.deepEqual(ws.sent, [{ authenticate: { token: "T" } }, { subscribe, ref: "subscribe" }]);
  ws.say({ ack: { expires_at: 9 } });
  assert.equal(world.connection.state, "connecting");
  ws.say({ ack: { last_event_id: "urn:0" }, ref: "subscribe" });
  ws.say({ update: { id: "urn:1", topics: ["urn:a"], type: "goal", data: "a" } });
  assert.deepEqual(world.told, [{ id: "urn:1", type: "goal", data: "a", topics: ["urn:a"] }]);
  ws.say({ caught_up: { last_event_id: "urn:4" } });
  ws.onclose();
  await world.pass(500);
  const again = await socket(world);
  again.say({ open: { last_event_id: "urn:8", ping_secs: 30 } });
  assert.equal(again.sent[1].subscribe.last_event_id, "urn:4");
  again.say({ ack: { last_event_id: "earliest" }, ref: "subscribe" });
  assert.deepEqual(world.gaps, ["urn:4"]);
});

test("a silent WebSocket is asked, then given up", async () => {
  const world = new World();
  world.connect({ transports: ["websocket"], silenceSecs: 40 });
  const ws = await socket(world);
  ws.say({ open: { last_event_id: "urn:0", ping_secs: 30 } });
  ws.say({ ack: { last_event_id: "urn:0" }, ref: "subscribe" });
  await world.pass(20_000);
  assert.deepEqual(ws.sent.at(-1), { ping: {} });
  ws.say({ pong: {} });
  await world.pass(20_000);
  assert.equal(ws.closed, false);
  await world.pass(20_000);
  assert.equal(ws.closed, true);
  assert.equal(world.states.at(-1), "waiting");
});

test("an error of the hub over a WebSocket is a refusal", async () => {
  const world = new World();
  world.connect({ transports: ["websocket"], token: "T" });
  const ws = await socket(world);
  ws.say({ open: { last_event_id: "urn:0", ping_secs: 30 } });
  ws.say({ error: { status: 403, type: "about:test", title: "No", detail: "not you" }, ref: "subscribe" });
  assert.equal(world.connection.state, "failed");
  assert.equal(world.errors[0].message, "not you");
});

test("what is no hub is left", async () => {
  const world = new World();
  world.connect({ transports: ["websocket", "long-poll"] });
  (await socket(world)).say("hello");
  assert.equal((await world.request()).headers.Accept, "application/json");
});

test("a page that may open no WebSocket goes on", async () => {
  const world = new World();
  const forbidding = class {
    constructor() {
      throw new DOMException("denied", "SecurityError");
    }
  };
  world.connect({ transports: ["websocket", "long-poll"] }, { WebSocket: forbidding });
  await world.pass(0);
  assert.equal((await world.request()).headers.Accept, "application/json");
});

test("a browser without WebSocket goes on", async () => {
  const world = new World();
  world.connect({ transports: ["websocket", "long-poll"] }, { WebSocket: undefined });
  await world.pass(0);
  assert.equal((await world.request()).headers.Accept, "application/json");
});

test("a poll that is answered too early with nothing is not repeated at once", async () => {
  const world = new World();
  world.connect({ transports: ["long-poll"] });
  (await world.request()).json([], "urn:0", "urn:0");
  (await world.request()).json([], "urn:0", "urn:0");
  await world.settle();
  assert.equal(world.connection.state, "waiting");
  assert.equal(world.requests.length, 2);
  await world.pass(500);
  assert.equal(world.requests.length, 3);
});

test("a hub that is away for a while changes no transport, also not for the next visit", async () => {
  const world = new World();
  world.connect();
  const first = await world.stream("urn:0");
  await world.settle();
  first.cut();
  for (let round = 0; round < 5; round += 1) {
    await world.settle();
    assert.equal(world.connection.state, "waiting");
    await pause(world);
    const stream = await world.request();
    assert.equal(stream.headers.Accept, "text/event-stream");
    stream.fail();
    (await socket(world)).onerror();
    (await world.request()).fail();
  }
  await pause(world);
  (await world.request()).fail();
  // The network returns in the middle of a round.
  const ws = await socket(world);
  ws.say({ open: { last_event_id: "urn:0", ping_secs: 30 } });
  ws.say({ ack: { last_event_id: "urn:0" }, ref: "subscribe" });
  await world.settle();
  assert.equal(world.states.at(-1), "open by websocket");
  assert.match([...world.storage.values()][0], /^event-stream /);
  ws.onclose();
  await pause(world);
  assert.equal((await world.request()).headers.Accept, "text/event-stream");
});

test("what does not pass is left out when the one that does is cut, and tried again a day later", async () => {
  const world = new World();
  const transports = ["event-stream", "long-poll"];
  world.connect({ transports });
  await world.pass(8_000);
  (await world.request()).json([], "urn:0", "urn:0");
  (await world.request()).fail();
  await world.settle();
  assert.equal(world.connection.state, "waiting");
  await world.pass(500);
  assert.equal((await world.request()).headers.Accept, "application/json");
  world.connection.close();
  await world.pass(23 * 3_600_000);
  world.connect({ transports });
  assert.equal((await world.request()).headers.Accept, "application/json");
  world.connection.close();
  await world.pass(3_600_000);
  world.connect({ transports });
  assert.equal((await world.request()).headers.Accept, "text/event-stream");
});

test("a WebSocket that is refused beside a stream that is held back is remembered as not passing", async () => {
  const world = new World();
  world.connect();
  await world.stream("urn:0", "");
  await world.pass(8_000);
  (await socket(world)).onerror();
  (await world.request()).json([], "urn:0", "urn:0");
  await world.settle();
  assert.match([...world.storage.values()][0], /^long-poll /);
});
