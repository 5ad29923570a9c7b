// Events of the browser about the page and the network, and the immediate reaction to them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { World } from "./support/world.mjs";

const BUSY = { "Retry-After": "200" };

/** A pause of minutes, as after many failures. */
async function waiting(world, overrides) {
  const environment = world.connect({ transports: ["event-stream"] }, overrides);
  (await world.request()).refuse(503, BUSY);
  await world.settle();
  assert.equal(world.connection.state, "waiting");
  return environment.events;
}

function pageshow(persisted) {
  return Object.assign(new Event("pageshow"), { persisted });
}

test("a network that is back ends the pause", async () => {
  const world = new World();
  const { events } = world.connect({ transports: ["event-stream"] });
  (await world.request()).refuse(503, { "Retry-After": "200" });
  await world.settle();
  events.dispatchEvent(new Event("online"));
  await world.settle();
  assert.equal(world.requests.length, 2);
});

test("a page that somebody looks at again ends the pause, one that is hidden does not", async () => {
  const world = new World();
  const events = await waiting(world);
  world.visible = false;
  events.dispatchEvent(new Event("visibilitychange"));
  await world.settle();
  assert.equal(world.requests.length, 1);
  world.visible = true;
  events.dispatchEvent(new Event("visibilitychange"));
  await world.settle();
  assert.equal(world.requests.length, 2);
});

test("what works is left alone when a page is looked at again or shown for the first time", async () => {
  const world = new World();
  const { events } = world.connect();
  await world.stream("urn:0");
  await world.settle();
  for (const event of [new Event("visibilitychange"), pageshow(false), new Event("online")]) events.dispatchEvent(event);
  await world.pass(10_000);
  assert.equal(world.requests.length, 1);
  assert.equal(world.connection.state, "open");
});

test("a page that was put aside connects at once when it is back, whatever became of its stream", async () => {
  for (const told of [["pagehide"], []]) {
    const world = new World();
    const { events } = world.connect();
    (await world.stream("urn:0")).event("urn:1", "a");
    await world.settle();
    for (const type of told) events.dispatchEvent(new Event(type));
    await world.settle();
    assert.equal(world.requests[0].aborted, told.length > 0);
    events.dispatchEvent(pageshow(true));
    const again = await world.request();
    assert.equal(world.requests[0].aborted, true);
    assert.equal(again.headers["Last-Event-ID"], "urn:1");
    again.stream("urn:1").event("urn:2", "b");
    await world.settle();
    assert.deepEqual(world.data, ["a", "b"]);
    assert.equal(world.requests.length, 2);
  }
});

test("without a network the state says so at once, and the stream is let go", async () => {
  const world = new World();
  const { events } = world.connect();
  await world.stream("urn:0");
  await world.settle();
  world.online = false;
  events.dispatchEvent(new Event("offline"));
  assert.equal(world.connection.state, "offline");
  assert.equal(world.connection.transport, null);
  assert.equal(world.requests[0].aborted, true);
  world.online = true;
  events.dispatchEvent(new Event("online"));
  const again = await world.request();
  assert.equal(again.headers["Last-Event-ID"], "urn:0");
  again.stream("urn:0");
  await world.settle();
  assert.deepEqual(world.states, ["connecting", "open by event-stream", "offline", "connecting", "open by event-stream"]);
});

test("while it is offline it is tried all the same, and says nothing else until that succeeds", async () => {
  const world = new World();
  world.online = false;
  world.connect({ transports: ["event-stream"] });
  await world.settle();
  assert.deepEqual(world.states, ["offline"]);
  for (let failure = 0; failure < 3; failure += 1) {
    (await world.request()).fail();
    await world.pass(5_000);
  }
  assert.deepEqual(world.states, ["offline"]);
  await world.stream("urn:0");
  await world.settle();
  assert.deepEqual(world.states, ["offline", "open by event-stream"]);
});

test("a try that hangs from before the network came back is made anew", async () => {
  const world = new World();
  const { events } = world.connect();
  await world.request();
  events.dispatchEvent(new Event("online"));
  await world.settle();
  assert.deepEqual(world.requests.map(({ aborted }) => aborted), [true, false]);
  // The first connection did not fail because of its transport, so the same one is tried.
  assert.equal(world.requests[1].headers.Accept, "text/event-stream");
});

test("one that was closed or refused for good stays so", async () => {
  for (const end of ["close", "refuse"]) {
    const world = new World();
    const { events } = world.connect();
    if (end === "close") world.connection.close();
    else (await world.request()).refuse(403);
    await world.settle();
    const { length } = world.requests;
    const states = [...world.states];
    for (const type of ["offline", "online", "visibilitychange", "pagehide"]) events.dispatchEvent(new Event(type));
    events.dispatchEvent(pageshow(true));
    await world.pass(60_000);
    assert.equal(world.requests.length, length);
    assert.deepEqual(world.states, states);
  }
});

test("who closes the connection when told that it is offline is obeyed", async () => {
  const world = new World();
  const onState = (state) => state === "offline" && world.connection.close();
  const { events } = world.connect({ onState });
  await world.stream("urn:0");
  await world.settle();
  world.online = false;
  events.dispatchEvent(new Event("offline"));
  await world.pass(60_000);
  assert.equal(world.connection.state, "closed");
  assert.equal(world.requests.length, 1);
});
