// Publishing: the request, and each possible result.

import assert from "node:assert/strict";
import { test } from "node:test";
import { publish } from "../dist/index.js";
import { HUB, World } from "./support/world.mjs";

const DRAFT = { topic: "urn:a", data: "x" };

test("publishing returns the id or throws the problem", async () => {
  const world = new World();
  world.connect({ token: "T" });
  await world.stream("urn:0");
  const published = world.connection.publish({ topic: ["urn:a", "urn:b"], data: { x: 1 }, private: true });
  const post = await world.request();
  assert.equal(post.method, "POST");
  assert.equal(post.body, "topic=urn%3Aa&topic=urn%3Ab&data=%7B%22x%22%3A1%7D&private=on");
  assert.equal(post.headers.Authorization, "Bearer T");
  post.answer(200, {}, "urn:uuid:1");
  assert.equal(await published, "urn:uuid:1");
  const refused = world.connection.publish({ topic: "urn:a", data: "x" });
  (await world.request()).refuse(403);
  await assert.rejects(refused, { name: "HubError", code: "refused", status: 403, message: "refused with 403" });
});

test("a key goes with the request, so that a repetition is one update", async () => {
  const world = new World();
  const published = publish(HUB, DRAFT, { key: "k-1", environment: world.environment() });
  const post = await world.request();
  assert.equal(post.headers["Idempotency-Key"], '"k-1"');
  post.answer(200, {}, "urn:uuid:1");
  assert.equal(await published, "urn:uuid:1");
});

test("a hub that does not answer in time is given up, and the request with it", async () => {
  for (const [options, secs] of [[{}, 30], [{ timeoutSecs: 5 }, 5]]) {
    const world = new World();
    const published = publish(HUB, DRAFT, { ...options, environment: world.environment() });
    const error = published.catch((error) => error);
    const post = await world.request();
    await world.pass(secs * 1000 - 1);
    assert.equal(post.aborted, false);
    await world.pass(1);
    const { name, code, status, message } = await error;
    assert.deepEqual({ name, code, status }, { name: "HubError", code: "timeout", status: 0 });
    assert.match(message, new RegExp(`within ${secs} s`));
    assert.equal(post.aborted, true);
  }
});

test("over HTTP/1 the error names what a request may wait for", async () => {
  const world = new World();
  const error = publish(HUB, DRAFT, { environment: world.environment({ isHttp1: () => true }) }).catch((error) => error);
  await world.request();
  await world.pass(30_000);
  assert.match((await error).message, /event streams of other tabs/);
});

test("an answer whose end does not come is given up too", async () => {
  const world = new World();
  const error = publish(HUB, DRAFT, { environment: world.environment() }).catch((error) => error);
  (await world.request()).answer(200, {}, new ReadableStream({}));
  await world.pass(30_000);
  assert.equal((await error).code, "timeout");
});

test("without a limit it waits as long as the hub does", async () => {
  const world = new World();
  const published = publish(HUB, DRAFT, { timeoutSecs: 0, environment: world.environment() });
  await world.pass(3_600_000);
  (await world.request()).answer(200, {}, "urn:uuid:1");
  assert.equal(await published, "urn:uuid:1");
});

test("a signal ends it", async () => {
  const world = new World();
  world.connect({ token: "T" });
  await world.stream("urn:0");
  const abort = new AbortController();
  const error = world.connection.publish(DRAFT, { signal: abort.signal }).catch((error) => error);
  const post = await world.request();
  abort.abort();
  assert.equal((await error).code, "aborted");
  assert.equal(post.aborted, true);
  // Another request with the same signal is not even sent.
  const { length } = world.requests;
  await assert.rejects(world.connection.publish(DRAFT, { signal: abort.signal }), { name: "HubError", code: "aborted" });
  await world.settle();
  assert.equal(world.requests.length, length);
  assert.equal(world.connection.state, "open");
});

test("a hub that cannot be reached, or is lost amid its answer, is unreachable", async () => {
  const world = new World();
  const first = publish(HUB, DRAFT, { environment: world.environment() });
  (await world.request()).fail();
  await assert.rejects(first, { name: "HubError", code: "unreachable", status: 0 });
  const second = publish(HUB, DRAFT, { environment: world.environment() });
  const broken = new ReadableStream({ pull: (controller) => controller.error(new TypeError("network error")) });
  (await world.request()).answer(200, {}, broken);
  await assert.rejects(second, { name: "HubError", code: "unreachable", status: 0 });
});

test("a token that cannot be fetched is named, one that never comes is given up and nothing is sent", async () => {
  const world = new World();
  const environment = world.environment();
  const token = () => Promise.reject(new Error("the login is away"));
  await assert.rejects(publish(HUB, DRAFT, { token, environment }), { code: "token", message: /the login is away/ });
  let give;
  const never = () => new Promise((resolve) => (give = resolve));
  const error = publish(HUB, DRAFT, { token: never, environment }).catch((error) => error);
  await world.pass(30_000);
  assert.equal((await error).code, "timeout");
  give("T");
  await world.settle();
  assert.equal(world.requests.length, 0);
});

test("a signal that ended nothing is let go", async () => {
  const world = new World();
  const abort = new AbortController();
  const published = publish(HUB, DRAFT, { signal: abort.signal, environment: world.environment() });
  (await world.request()).answer(200, {}, "urn:uuid:1");
  await published;
  abort.abort();
  await world.pass(60_000);
  assert.equal(await published, "urn:uuid:1");
});
