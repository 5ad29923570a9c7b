// The npm package `ws`, which most programs on Node use: the hub over WebSocket, compressed in each way that can be agreed on.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { test } from "node:test";
import WebSocket from "ws";
import { Hub, until } from "../support/hub.mjs";

// What is offered, and what has to be agreed on.
const OFFERS = {
  "with the library's defaults": [true, /^permessage-deflate\b.*server_no_context_takeover/],
  "with a small window": [{ serverMaxWindowBits: 10, clientMaxWindowBits: 9 }, /server_max_window_bits=(9|10)$/],
  "without contexts": [{ serverNoContextTakeover: true, clientNoContextTakeover: true, threshold: 0 }, /client_no_context_takeover/],
  uncompressed: [false, /^$/],
};

for (const [name, [perMessageDeflate, agreed]] of Object.entries(OFFERS)) {
  test(`ws subscribes, publishes and is answered, ${name}`, async (t) => {
    const hub = await Hub.start(t);
    const { socket, next, extensions } = await open(t, hub, "/.well-known/mercure", perMessageDeflate);
    assert.match(extensions, agreed);
    const ask = (frame) => socket.send(JSON.stringify(frame));

    const begun = await next();
    assert.ok(begun.open.last_event_id);
    ask({ subscribe: { match: "urn:a" }, ref: 1 });
    assert.equal((await next()).ref, 1);
    // Text that shrinks a lot, that does not shrink, longer than a window, and in several scripts.
    const sent = ["", "a".repeat(100_000), randomBytes(60_000).toString("base64"), "Grüße, 世界 😀 ".repeat(3000)];
    for (const data of sent.slice(0, 2)) await hub.publish("urn:a", data);
    for (const data of sent.slice(2)) ask({ publish: { topic: "urn:a", data } });
    const got = [];
    const acknowledged = [];
    while (got.length < sent.length || acknowledged.length < 2) {
      const frame = await next();
      if (frame.update) got.push(frame.update);
      else acknowledged.push(frame.ack.id);
    }
    assert.deepEqual(got.map(({ data }) => data), sent);
    assert.deepEqual(got.slice(2).map(({ id }) => id), acknowledged);

    ask({ unsubscribe: { match: "urn:a" }, ref: "2" });
    assert.equal((await next()).ref, "2");
    const ponged = once(socket, "pong");
    socket.ping("are you there");
    assert.equal(String((await ponged)[0]), "are you there");
    ask({ nonsense: true });
    assert.match((await next()).error.type, /urn:tidings:problem:frame-invalid/);
    const closed = once(socket, "close");
    socket.close(4000, "enough");
    assert.equal((await closed)[0], 4000);
  });
}

test("ws resumes where it was cut, by the parameters of the address", async (t) => {
  const hub = await Hub.start(t);
  const ids = [];
  for (const data of ["one", "two", "three"]) ids.push(await hub.publish("urn:a", data));
  const { next } = await open(t, hub, `/.well-known/mercure?match=urn:a&last_event_id=${ids[0]}`, true);
  assert.ok((await next()).open);
  assert.deepEqual([(await next()).update.data, (await next()).update.data], ["two", "three"]);
  assert.equal((await next()).caught_up.last_event_id, ids[2]);
});

test("two of ws talk in a room", async (t) => {
  const hub = await Hub.start(t);
  const [ann, ben] = [await open(t, hub, "/ws/chat", true, String), await open(t, hub, "/ws/chat", false, String)];
  await until(async () => /^tidings_subscribers 2$/m.test(await (await fetch(`${hub.origin}/metrics`)).text()), "both to have joined");
  ann.socket.send("x".repeat(5000));
  assert.equal(await ben.next(), "x".repeat(5000));
  ben.socket.send("y");
  assert.equal(await ann.next(), "y");
});

// Opens one that presents the developer's token; `next` waits for the next text.
async function open(t, hub, path, perMessageDeflate, read = JSON.parse) {
  const headers = { Authorization: `Bearer ${await hub.token()}` };
  const options = { perMessageDeflate, ...(path.startsWith("/ws/") ? {} : { headers }) };
  const socket = new WebSocket(`ws://localhost:${hub.port}${path}`, options);
  t.after(() => socket.terminate());
  const arrived = [];
  socket.on("message", (data, isBinary) => {
    assert.equal(isBinary, false);
    arrived.push(String(data));
  });
  const [answer] = await once(socket, "upgrade");
  if (socket.readyState !== WebSocket.OPEN) await once(socket, "open");
  const next = async () => {
    await until(() => arrived.length > 0, "a frame");
    return read(arrived.shift());
  };
  return { socket, next, extensions: answer.headers["sec-websocket-extensions"] ?? "" };
}
