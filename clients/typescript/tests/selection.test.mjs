// What is received changes while connected: by frames of a WebSocket, or by another request from the same place.

import assert from "node:assert/strict";
import { test } from "node:test";
import { World } from "./support/world.mjs";

/** A connection by WebSocket, open at `urn:0`. */
async function opened(options = {}, overrides = {}) {
  const world = new World();
  world.connect({ transports: ["websocket"], ...options }, overrides);
  return { world, socket: await reopened(world, "urn:0") };
}

async function reopened(world, answered) {
  await world.settle();
  const socket = world.sockets.at(-1);
  socket.say({ open: { last_event_id: answered } });
  socket.say({ ack: { last_event_id: answered }, ref: "subscribe" });
  await world.settle();
  return socket;
}

test("by a WebSocket matchers are added from where it stands, and taken away", async () => {
  const { world, socket } = await opened();
  socket.say({ update: { id: "urn:1", topics: ["urn:a"], data: "a" } });
  world.connection.subscribe({ topics: ["urn:a", "urn:b"], patterns: "https://example.com/:id" });
  assert.deepEqual(socket.sent.at(-1), {
    subscribe: { match: ["urn:b"], match_urlpattern: ["https://example.com/:id"], last_event_id: "urn:1" },
    ref: "add",
  });
  world.connection.unsubscribe({ topics: ["urn:a", "urn:unknown"] });
  assert.deepEqual(socket.sent.at(-1), { unsubscribe: { match: ["urn:a"] } });
  const { length } = socket.sent;
  world.connection.subscribe({ topics: "urn:b" });
  assert.equal(socket.sent.length, length);
  assert.equal(world.connection.state, "open");
  // The next connection has the selection as it is.
  socket.onclose();
  await world.pass(500);
  const next = await reopened(world, "urn:1");
  assert.deepEqual(next.sent[0].subscribe, { match: ["urn:b"], match_urlpattern: ["https://example.com/:id"], last_event_id: "urn:1" });
});

test("what comes again after matchers were added is told once", async () => {
  const { world, socket } = await opened();
  world.connection.subscribe({ topics: "urn:b" });
  for (const [id, data] of [["urn:2", "a2"], ["urn:1", "b1"]]) socket.say({ update: { id, data } });
  socket.onclose();
  await world.pass(500);
  const next = await reopened(world, "urn:1");
  for (const [id, data] of [["urn:2", "a2"], ["urn:3", "b3"]]) next.say({ update: { id, data } });
  assert.deepEqual(world.data, ["a2", "b1", "b3"]);
  assert.deepEqual(world.gaps, []);
});

test("a hub that no longer has what came before says so to the matchers that are added", async () => {
  const { world, socket } = await opened();
  world.connection.subscribe({ topics: "urn:b" });
  world.connection.subscribe({ topics: "urn:c" });
  socket.say({ ack: { last_event_id: "urn:0" }, ref: "add" });
  assert.deepEqual(world.gaps, []);
  socket.say({ ack: { last_event_id: "earliest" }, ref: "add" });
  assert.deepEqual(world.gaps, ["urn:0"]);
});

test("by an event stream another request goes on from the same place", async () => {
  const world = new World();
  world.connect({ transports: ["event-stream"] });
  (await world.stream("urn:0")).event("urn:1", "a");
  await world.settle();
  world.connection.subscribe({ patterns: ["https://example.com/:id"] });
  const second = await world.request();
  assert.equal(world.requests[0].aborted, true);
  assert.equal(second.url.search, "?match=urn%3Aa&match_urlpattern=https%3A%2F%2Fexample.com%2F%3Aid");
  assert.equal(second.headers["Last-Event-ID"], "urn:1");
  second.stream("urn:1").event("urn:2", "b");
  await world.settle();
  world.connection.unsubscribe({ topics: "urn:a" });
  const third = await world.request();
  assert.equal(third.url.search, "?match_urlpattern=https%3A%2F%2Fexample.com%2F%3Aid");
  assert.equal(third.headers["Last-Event-ID"], "urn:2");
  assert.deepEqual(world.data, ["a", "b"]);
});

test("while nothing is connected the next try has the new selection", async () => {
  const world = new World();
  world.connect({ transports: ["event-stream"] });
  (await world.request()).fail();
  await world.settle();
  world.connection.subscribe({ topics: "urn:b" });
  await world.settle();
  assert.equal(world.requests.length, 1);
  await world.pass(500);
  assert.equal((await world.request()).url.search, "?match=urn%3Aa&match=urn%3Ab");
});

test("nothing is not to be had, and a connection that tabs share stays as it is", async () => {
  const { world, socket } = await opened();
  assert.throws(() => world.connection.unsubscribe({ topics: "urn:a" }), TypeError);
  assert.equal(socket.sent.at(-1).subscribe.match[0], "urn:a");
  const shared = new World();
  shared.connect({ share: "me" });
  assert.throws(() => shared.connection.subscribe({ topics: "urn:b" }), TypeError);
});
