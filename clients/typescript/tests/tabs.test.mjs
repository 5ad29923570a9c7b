// Tabs that share: one connects, all receive, and the next one takes over without loss.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Browser } from "./support/browser.mjs";
import { World } from "./support/world.mjs";

test("two tabs have one connection, and the second takes over after the last update", async () => {
  const browser = new Browser();
  const [first, second] = [new World(), new World()];
  first.connect({ share: "me" }, browser.parts());
  const stream = await first.stream("urn:0");
  second.connect({ share: "me" }, browser.parts());
  await second.settle();
  assert.equal(second.requests.length, 0);
  assert.equal(second.connection.state, "open");
  assert.equal(second.connection.lastEventId, "urn:0");
  stream.event("urn:1", "a");
  await first.settle();
  assert.deepEqual([first.data, second.data], [["a"], ["a"]]);
  first.connection.close();
  const taken = await second.request();
  assert.equal(taken.headers["Last-Event-ID"], "urn:1");
  taken.stream("urn:1").event("urn:2", "b");
  await second.settle();
  assert.deepEqual([first.data, second.data], [["a"], ["a", "b"]]);
});

test("tabs with other names, topics or cursors do not share", async () => {
  const browser = new Browser();
  const worlds = [new World(), new World(), new World(), new World()];
  const options = [{ share: "me" }, { share: "you" }, { share: "me", topics: "urn:b" }, { share: "me", lastEventId: "urn:1" }];
  for (const [index, world] of worlds.entries()) world.connect(options[index], browser.parts());
  for (const world of worlds) assert.equal((await world.request()).method, "GET");
});

test("a tab that is closed while it waits does not take over", async () => {
  const browser = new Browser();
  const [first, second] = [new World(), new World()];
  first.connect({ share: "me" }, browser.parts());
  await first.stream("urn:0");
  second.connect({ share: "me" }, browser.parts());
  await second.settle();
  second.connection.close();
  first.connection.close();
  await second.settle();
  assert.equal(second.requests.length, 0);
  assert.equal(second.connection.state, "closed");
});

/** A page that cannot share: a frame without an origin, or a visitor who blocks all storage. */
const refusal = () => new DOMException("denied in this context", "SecurityError");
const FORBIDDEN = {
  locks: { locks: { request: () => Promise.reject(refusal()) } },
  "locks, at once": {
    locks: {
      request: async () => {
        throw refusal();
      },
    },
  },
  channels: {
    BroadcastChannel: class {
      constructor() {
        throw refusal();
      }
    },
  },
};

for (const [name, forbidden] of Object.entries(FORBIDDEN)) {
  test(`where ${name} are forbidden a tab connects by itself, and tells no other`, async () => {
    const browser = new Browser();
    const [alone, other] = [new World(), new World()];
    other.connect({ share: "me" }, browser.parts());
    const its = await other.stream("urn:0");
    alone.connect({ share: "me" }, { ...browser.parts(), ...forbidden });
    const stream = await alone.stream("urn:0");
    stream.event("urn:1", "a");
    await alone.settle();
    assert.equal(alone.connection.state, "open");
    assert.deepEqual([alone.data, other.data], [["a"], []]);
    its.event("urn:1", "a");
    await other.settle();
    assert.deepEqual([alone.data, other.data], [["a"], ["a"]]);
    stream.cut();
    await alone.pass(500);
    assert.equal((await alone.request()).headers["Last-Event-ID"], "urn:1");
    alone.connection.close();
    assert.equal(alone.connection.state, "closed");
    assert.equal(other.connection.state, "open");
  });
}

test("one that is closed before its locks are refused stays closed", async () => {
  const world = new World();
  let refuse;
  const locks = { request: () => new Promise((_, reject) => (refuse = reject)) };
  world.connect({ share: "me" }, { ...new Browser().parts(), locks });
  await world.settle();
  world.connection.close();
  refuse(refusal());
  await world.settle();
  assert.equal(world.requests.length, 0);
  assert.equal(world.connection.state, "closed");
});

test("a tab is told of a gap if the one that takes over begins further on", async () => {
  for (const [opening, gaps] of [
    [{ asked: "urn:1", answered: "urn:1" }, []],
    [{ asked: null, answered: "urn:1" }, []],
    [{ asked: null, answered: "urn:5" }, ["urn:1"]],
    [{ asked: "urn:5", answered: "urn:5" }, ["urn:1"]],
  ]) {
    const world = new World();
    let channel;
    class BroadcastChannel {
      constructor() {
        channel = this;
      }
      postMessage() {}
      close() {}
    }
    const locks = { request: () => new Promise(() => {}) };
    world.connect({ share: "me" }, { BroadcastChannel, locks });
    await world.settle();
    for (const data of [["onCursor", "urn:0"], ["onState", "open", "websocket"], ["onUpdate", { id: "urn:1", data: "a" }]]) channel.onmessage({ data });
    for (const data of [["onState", "closed", null], ["onOpen", { ...opening, transport: "websocket" }]]) channel.onmessage({ data });
    assert.deepEqual([world.gaps, world.data, world.connection.state], [gaps, ["a"], "open"]);
  }
});

test("where nothing can be shared each tab connects", async () => {
  const [first, second] = [new World(), new World()];
  first.connect({ share: "me" });
  second.connect({ share: "me" });
  for (const world of [first, second]) assert.equal((await world.request()).method, "GET");
});
