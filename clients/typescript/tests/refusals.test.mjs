// The reaction to a refusal: a new token, a pause, another transport, or the end.

import assert from "node:assert/strict";
import { test } from "node:test";
import { World } from "./support/world.mjs";

test("a token that is refused is fetched anew, once without a pause", async () => {
  const world = new World();
  let fetched = 0;
  world.connect({ token: async () => `T${(fetched += 1)}` });
  (await world.request()).refuse(401);
  const again = await world.request();
  assert.equal(again.headers.Authorization, "Bearer T2");
  again.refuse(401);
  await world.settle();
  assert.equal(world.states.at(-1), "waiting");
  await world.pass(500);
  assert.equal((await world.request()).headers.Authorization, "Bearer T3");
  assert.deepEqual(world.errors.map((error) => error.status), [401, 401]);
});

test("a token that cannot be fetched is said and tried again", async () => {
  const world = new World();
  world.connect({ token: () => Promise.reject(new Error("the login is away")) });
  await world.settle();
  assert.match(world.errors[0].message, /the login is away/);
  assert.equal(world.states.at(-1), "waiting");
});

for (const status of [400, 401, 403, 421]) {
  test(`${status} for what will not change is the end`, async () => {
    const world = new World();
    world.connect({ token: "T" });
    (await world.request()).refuse(status);
    await world.pass(600_000);
    assert.equal(world.connection.state, "failed");
    assert.equal(world.requests.length, 1);
    assert.equal(world.errors[0].message, `refused with ${status}`);
    assert.equal(world.errors[0].type, "about:test");
  });
}

test("a busy hub is asked again when it said", async () => {
  const world = new World();
  world.connect();
  (await world.request()).refuse(503, { "Retry-After": "20" });
  await world.pass(19_999);
  assert.equal(world.requests.length, 1);
  await world.pass(6_000);
  assert.equal(world.requests.length, 2);
});

test("pauses grow to half a minute and shrink once a connection works", async () => {
  const world = new World();
  world.connect({ transports: ["event-stream"] });
  const pauses = [];
  for (let failure = 0; failure < 10; failure += 1) {
    (await world.request()).fail();
    await world.settle();
    let waited = 0;
    const { length } = world.requests;
    while (world.requests.length === length) {
      await world.pass(500);
      waited += 500;
    }
    pauses.push(waited);
  }
  assert.deepEqual(pauses, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000, 30000]);
  const stream = await world.stream("urn:0");
  stream.event("urn:1", "a");
  await world.settle();
  stream.cut();
  await world.pass(500);
  assert.equal(world.requests.length, 12);
});

test("a hub's own pause is taken", async () => {
  const world = new World();
  world.connect();
  const stream = await world.stream("urn:0");
  stream.send("retry: 9000\n\n");
  await world.settle();
  stream.cut();
  await world.pass(8_999);
  assert.equal(world.requests.length, 1);
  await world.pass(1);
  assert.equal(world.requests.length, 2);
});
