// Event streams: the request, the parsing, and recovery after a lost connection.

import assert from "node:assert/strict";
import { test } from "node:test";
import { World } from "./support/world.mjs";

test("asks for topics and patterns, with a token in the head", async () => {
  const world = new World();
  world.connect({ topics: ["urn:a", "é"], patterns: "/books/:id", token: "T" });
  const request = await world.request();
  assert.deepEqual(request.url.searchParams.getAll("match"), ["urn:a", "é"]);
  assert.deepEqual(request.url.searchParams.getAll("match_urlpattern"), ["/books/:id"]);
  assert.equal(request.headers.Authorization, "Bearer T");
  assert.equal(request.headers["Last-Event-ID"], undefined);
  assert.equal(request.credentials, "same-origin");
});

test("reads events however they are cut into pieces", async () => {
  const encoder = new TextEncoder();
  const text = '\ufeffid: 1\r\nevent: goal\r\ndata: a\r\ndata: é😀\r\n\r\n: note\n\nretry: 7\nid: 2\ndata\n\nid:3\rdata:  b\r\rdata: c\n\n';
  const bytes = encoder.encode(text);
  for (let at = 1; at < bytes.length; at += 1) {
    const world = new World();
    world.connect();
    const stream = await world.stream("earliest", "");
    stream.send(bytes.slice(0, at));
    await world.settle();
    stream.send(bytes.slice(at));
    await world.settle();
    const expected = [
      { id: "1", type: "goal", data: "a\né😀" },
      { id: "2", type: "message", data: "" },
      { id: "3", type: "message", data: " b" },
      { id: "3", type: "message", data: "c" },
    ];
    assert.deepEqual(world.told, expected, `cut at ${at}`);
    world.connection.close();
  }
});

test("a cut connection resumes after the last update", async () => {
  const world = new World();
  world.connect();
  const stream = await world.stream("urn:0");
  stream.event("urn:1", "a");
  stream.event("urn:2", "b");
  await world.settle();
  stream.cut();
  await world.settle();
  assert.deepEqual(world.states, ["connecting", "open by event-stream", "waiting"]);
  await world.pass(500);
  const again = await world.request();
  assert.equal(again.headers["Last-Event-ID"], "urn:2");
  again.stream("urn:2").event("urn:3", "c");
  await world.settle();
  assert.deepEqual(world.data, ["a", "b", "c"]);
  assert.deepEqual(world.gaps, []);
  assert.equal(world.connection.lastEventId, "urn:3");
});

test("one that is cut before its first update resumes where the hub stood", async () => {
  const world = new World();
  world.connect();
  (await world.stream("urn:7")).end();
  await world.pass(500);
  assert.equal((await world.request()).headers["Last-Event-ID"], "urn:7");
});

test("an id that no header field can carry goes into the address", async () => {
  const world = new World();
  world.connect({ lastEventId: "urn:é" });
  const request = await world.request();
  assert.equal(request.headers["Last-Event-ID"], undefined);
  assert.equal(request.url.searchParams.get("last_event_id"), "urn:é");
});

test("a cursor that the hub does not know is a gap, and nothing comes twice", async () => {
  const world = new World();
  world.connect();
  const stream = await world.stream("earliest");
  stream.event("urn:1", "a");
  stream.event("urn:2", "b");
  await world.settle();
  stream.cut();
  await world.pass(500);
  const again = await world.stream("earliest");
  again.event("urn:2", "b");
  again.event("urn:3", "c");
  await world.settle();
  assert.deepEqual(world.gaps, ["urn:2"]);
  assert.deepEqual(world.data, ["a", "b", "c"]);
});

test("all that is kept was asked for: that is no gap", async () => {
  const world = new World();
  world.connect({ lastEventId: "earliest" });
  (await world.stream("earliest")).event("urn:1", "a");
  await world.settle();
  assert.deepEqual(world.gaps, []);
  assert.deepEqual(world.data, ["a"]);
});

test("silence is a lost connection, heartbeats are not silence", async () => {
  const world = new World();
  world.connect({ silenceSecs: 45 });
  const stream = await world.stream("urn:0");
  for (let beat = 0; beat < 4; beat += 1) {
    await world.pass(30_000);
    stream.send(":\n");
    await world.settle();
  }
  assert.equal(world.requests.length, 1);
  await world.pass(45_000);
  assert.equal(world.requests[0].aborted, true);
  await world.pass(500);
  assert.equal(world.requests.length, 2);
});

test("nothing is told after close", async () => {
  const world = new World();
  world.connect();
  const stream = await world.stream("urn:0");
  await world.settle();
  world.connection.close();
  stream.event("urn:1", "a");
  await world.pass(120_000);
  assert.deepEqual(world.told, []);
  assert.equal(world.requests.length, 1);
  assert.equal(world.requests[0].aborted, true);
  assert.equal(world.states.at(-1), "closed");
});

test("a stream whose head arrives and nothing else is held back somewhere: the next transport is tried", async () => {
  const world = new World();
  world.connect({ transports: ["event-stream", "long-poll"] });
  await world.stream("urn:0", "");
  await world.settle();
  assert.equal(world.connection.state, "connecting");
  await world.pass(8_000);
  assert.equal((await world.request()).headers.Accept, "application/json");
});

test("a cursor in other letters is no gap", async () => {
  const world = new World();
  world.connect({ lastEventId: "é😀" });
  // As browsers show UTF-8 bytes.
  const shown = String.fromCharCode(...new TextEncoder().encode("é😀"));
  await world.stream(shown);
  await world.settle();
  assert.equal(world.connection.state, "open");
  assert.deepEqual(world.gaps, []);
});

test("what the hub sent is kept if it is asked for", async () => {
  const world = new World();
  world.connect({ wire: true });
  const stream = await world.stream("urn:0");
  stream.send(": note\nid: 1\ndata: a\ndata:b\n\nretry: 5\nevent: x\n\nid: 2\ndata: c\n\n");
  await world.settle();
  assert.deepEqual(world.told.map(({ wire }) => wire), ["id: 1\ndata: a\ndata:b", "id: 2\ndata: c"]);
});

test("each connection says where it begins", async () => {
  const world = new World();
  const openings = [];
  world.connect({ lastEventId: "urn:9", onOpen: (opening) => openings.push(opening) });
  await world.stream("earliest");
  await world.settle();
  assert.deepEqual(openings, [{ asked: "urn:9", answered: "earliest", transport: "event-stream" }]);
});

test("events are what the standard says", async () => {
  const cases = [
    ["data: one\n\n", [["message", "", "one"]]],
    ["data:a\r\ndata: b\rdata:  c\r\n\r\n", [["message", "", "a\nb\n c"]]],
    ["event: add\nid: 7\ndata: x\n\ndata: y\n\n", [["add", "7", "x"], ["message", "7", "y"]]],
    [": only a comment\n\n", []],
    ["id: 8\n\ndata: z\n\n", [["message", "8", "z"]]],
    ["id: 8\ndata: z\n\nid\ndata: w\n\n", [["message", "8", "z"], ["message", "", "w"]]],
    ["data\n\ndata\ndata\n\n", [["message", "", ""], ["message", "", "\n"]]],
    ["id: a\0b\ndata: x\n\n", [["message", "", "x"]]],
    ["data: unfinished\n", []],
    ["other: field\ndata: x\n\n", [["message", "", "x"]]],
  ];
  for (const [text, expected] of cases) {
    const world = new World();
    world.connect();
    (await world.stream("urn:0", "")).send(text);
    await world.settle();
    assert.deepEqual(world.told.map(({ type, id, data }) => [type, id, data]), expected, JSON.stringify(text));
    world.connection.close();
  }
});
