// Payloads, keep-alives, the order of transports over HTTP/1, and updates as an async iterator.

import assert from "node:assert/strict";
import { test } from "node:test";
import { follow } from "../dist/index.js";
import { HUB, World } from "./support/world.mjs";

test("payloads are parsed, and one that cannot be is an error, not the end", async () => {
  const world = new World();
  world.connect({ parse: JSON.parse });
  const stream = await world.stream("urn:0");
  stream.event("urn:1", `{"title":"x"}`);
  stream.event("urn:2", "no JSON");
  stream.event("urn:3", "7");
  await world.settle();
  assert.deepEqual(world.data, [{ title: "x" }, 7]);
  const [{ name, code, message }] = world.errors;
  assert.deepEqual([name, code, world.errors.length], ["HubError", "data", 1]);
  assert.match(message, /urn:2/);
  assert.equal(world.connection.lastEventId, "urn:3");
  assert.equal(world.connection.state, "open");
});

test("an error of the application's own is not taken for one of the payload", async () => {
  const world = new World();
  const onUpdate = () => {
    throw new Error("its own");
  };
  world.connect({ parse: JSON.parse, onUpdate, transports: ["websocket"] });
  await world.settle();
  const [socket] = world.sockets;
  assert.throws(() => socket.say({ update: { id: "urn:1", data: "1" } }), /its own/);
  assert.deepEqual(world.errors, []);
});

test("whatever is heard of the hub is told, also between updates", async () => {
  const world = new World();
  world.connect({ transports: ["event-stream"] });
  const stream = await world.stream("urn:0");
  await world.settle();
  assert.equal(world.alive, 1);
  stream.send(":\n");
  await world.settle();
  stream.event("urn:1", "a");
  await world.settle();
  assert.equal(world.alive, 3);

  const other = new World();
  other.connect({ transports: ["websocket"] });
  await other.settle();
  other.sockets[0].say({ open: { last_event_id: "urn:0" } });
  other.sockets[0].say({ pong: {} });
  assert.equal(other.alive, 2);
});

test("over HTTP/1 a WebSocket is tried first, unless an order is given", async () => {
  const isHttp1 = () => true;
  const world = new World();
  world.connect({}, { isHttp1 });
  await world.settle();
  assert.deepEqual([world.sockets.length, world.requests.length], [1, 0]);
  world.sockets[0].onerror();
  assert.equal((await world.request()).headers.Accept, "text/event-stream");
  const ordered = new World();
  ordered.connect({ transports: ["event-stream", "websocket"] }, { isHttp1 });
  assert.equal((await ordered.request()).headers.Accept, "text/event-stream");
});

test("an event stream that worked where it was the first choice does not displace the WebSocket elsewhere", async () => {
  const world = new World();
  world.connect({ transports: ["event-stream", "long-poll"] }, { isHttp1: () => true });
  await world.stream("urn:0");
  await world.settle();
  assert.equal(world.connection.transport, "event-stream");
  world.connect({}, { isHttp1: () => true });
  await world.settle();
  assert.equal(world.sockets.length, 1);
});

test("a loop takes updates in order, and its end closes the connection", async () => {
  const world = new World();
  const loop = follow(HUB, { topics: "urn:a", parse: JSON.parse, environment: world.environment() });
  const first = loop.next();
  const stream = await world.stream("urn:0");
  stream.event("urn:1", "1");
  stream.event("urn:2", "2");
  assert.deepEqual((await first).value, { id: "urn:1", type: "message", data: 1 });
  assert.equal((await loop.next()).value.data, 2);
  await loop.return();
  assert.equal(world.requests[0].aborted, true);
});

test("a loop ends by its signal, and by a refusal", async () => {
  const world = new World();
  const abort = new AbortController();
  const seen = follow(HUB, { topics: "urn:a", signal: abort.signal, environment: world.environment() }).next();
  await world.stream("urn:0");
  abort.abort();
  assert.deepEqual(await seen, { value: undefined, done: true });
  assert.equal(world.requests[0].aborted, true);

  const refused = new World();
  const error = follow(HUB, { topics: "urn:a", environment: refused.environment() }).next().catch((error) => error);
  (await refused.request()).refuse(403);
  assert.deepEqual([(await error).code, (await error).status], ["refused", 403]);
});

test("a loop that is slower than the updates reads on from the history", async () => {
  const world = new World();
  const loop = follow(HUB, { topics: "urn:a", transports: ["event-stream"], environment: world.environment() });
  const first = loop.next();
  const stream = await world.stream("urn:0");
  for (let number = 1; number <= 1100; number += 1) void stream.event(`urn:${number}`, String(number));
  await world.settle();
  assert.equal(world.requests[0].aborted, true, "the connection is closed while too much waits");
  const seen = [(await first).value.data];
  let next = loop.next();
  for (await world.settle(); world.requests.length === 1; await world.settle()) {
    seen.push((await next).value.data);
    next = loop.next();
  }
  assert.ok(seen.length >= 1024);
  const again = await world.request();
  assert.equal(again.headers["Last-Event-ID"], `urn:${seen.length}`);
  const rest = again.stream(`urn:${seen.length}`);
  for (let number = seen.length + 1; number <= 1100; number += 1) void rest.event(`urn:${number}`, String(number));
  seen.push((await next).value.data);
  while (seen.length < 1100) seen.push((await loop.next()).value.data);
  assert.deepEqual(seen, Array.from({ length: 1100 }, (_, at) => String(at + 1)));
  await loop.return();
});
