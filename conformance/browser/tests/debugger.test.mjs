import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import { assertNoFaults, openChromium, openPage, texts, waitForConnection, waitForTexts } from "../support/chromium.mjs";
import { Hub, until } from "../support/hub.mjs";

const run = promisify(execFile);

test("what is published is seen with its id and timing", async (t) => {
  const { page } = await openDebugger(t);
  await page.getByLabel("event stream", { exact: true }).check();
  await press(page, "Subscribe");
  await waitForConnection(page);
  await page.locator("#data").fill("line 1\nline 2 <b>");
  await press(page, "Publish");

  await waitForTexts(page, "#events .data", ["line 1\nline 2 <b>"]);
  const [id] = await texts(page, "#events .id code");
  // The update may be there before the answer is.
  await page.locator("#publish-said").filter({ hasText: new RegExp(`^Published in [0-9.]+ ms as ${id}$`) }).waitFor();
  assert.match(id, /^urn:uuid:|^\S+$/);
  await page.locator("#events .latency").filter({ hasText: /^[0-9.]+ ms after publishing$/ }).waitFor();
  assert.match((await texts(page, "#events .at"))[0], /^\d\d:\d\d:\d\d\.\d{3}$/);

  await page.getByLabel("Raw").check();
  assert.equal(await page.locator("#events .wire").textContent(), `id: ${id}\ndata: line 1\ndata: line 2 <b>`);
  assert.equal(await page.locator("#events .data").isVisible(), false);
  assertNoFaults(page);
});

test("an own id, a type and alternate topics arrive", async (t) => {
  const { page } = await openDebugger(t);
  await page.getByLabel("Type of matcher").selectOption("URL pattern");
  await page.getByLabel("Topic or pattern").fill("/books/:id");
  await press(page, "Add another");
  await page.getByLabel("Topic or pattern").nth(1).fill("/exact");
  await press(page, "Subscribe");
  await waitForConnection(page);

  await publish(page, "/elsewhere\n/books/7", "by pattern", { id: "urn:example:own", type: "changed" });
  await publish(page, "/exact", "by name", { id: "", type: "" });
  await publish(page, "/books/7/pages", "unseen", {});
  await publish(page, "/exact", "last", {});
  await waitForTexts(page, "#events .data", ["last", "by name", "by pattern"]);
  assert.equal((await texts(page, "#events .id code"))[2], "urn:example:own");
  assert.deepEqual(await texts(page, "#events .type"), ["message", "message", "changed"]);
  assertNoFaults(page);
});

test("a cursor is answered, and an unknown one is shown as a gap", async (t) => {
  const { hub, page } = await openDebugger(t);
  const ids = [];
  for (const text of ["one", "two", "three"]) ids.push(await hub.publish("/demo", text));

  await press(page, "From the beginning");
  await waitForTexts(page, "#events .data", ["three", "two", "one"]);
  await page.getByText("none: everything retained was asked for").waitFor();
  await press(page, "Clear");
  await page.getByLabel("After this event id").fill(ids[0]);
  await press(page, "Subscribe");
  await waitForTexts(page, "#events .data", ["three", "two"]);
  await waitForTexts(page, "#answered", [ids[0]]);
  await page.getByText("none: the hub continues after the id asked for").waitFor();
  await press(page, "Clear");
  await page.getByLabel("After this event id").fill("urn:uuid:00000000-0000-4000-8000-000000000000");
  await press(page, "Subscribe");
  await waitForTexts(page, "#events .data", ["three", "two", "one"]);
  await waitForTexts(page, "#answered", ["earliest"]);
  await page.getByText("yes: the hub does not know this id").waitFor();
  await press(page, "Stop");
  await page.locator(`#state[data-state="closed"]`).waitFor();
  assertNoFaults(page);
});

test("events show their topics and readable JSON, and can be filtered", async (t) => {
  const { page } = await openDebugger(t);
  await page.getByLabel("Topic or pattern").fill("*");
  await press(page, "Subscribe");
  await waitForConnection(page);
  await publish(page, "/books/1\n/news", `{"title":"One","tags":[1]}`, { type: "book" });
  await publish(page, "/demo", "{not JSON", { type: "" });
  await page.locator("#events .data").filter({ hasText: "{not JSON" }).waitFor();
  await page.getByLabel("Filter events").fill("/news");
  const shown = page.locator("#events li:not([hidden])");
  await page.locator("#count").filter({ hasText: /^\d+ received, 1 shown$/ }).waitFor();
  assert.equal(await shown.locator(".topics").textContent(), "/books/1\n/news");
  assert.equal(await shown.locator(".data").textContent(), `{\n  "title": "One",\n  "tags": [\n    1\n  ]\n}`);
  await page.getByLabel("Pretty JSON").uncheck();
  assert.equal(await shown.locator(".data").textContent(), `{"title":"One","tags":[1]}`);
  await page.getByLabel("Filter events").fill("NOT json");
  assert.deepEqual(await shown.locator(".data").allTextContents(), ["{not JSON"]);
  assertNoFaults(page);
});

test("a link holds what stands in the forms and no token, and command lines do the same from a terminal", async (t) => {
  const { hub, page } = await openDebugger(t);
  await page.getByLabel("Type of matcher").selectOption("URL pattern");
  await page.getByLabel("Topic or pattern").fill("/it's/:id");
  await press(page, "Add another");
  await page.getByLabel("Topic or pattern").nth(1).fill("/exact");
  await page.getByLabel("After this event id").fill("earliest");
  await page.getByLabel("long polling").check();
  await page.getByLabel("Topics, one per line").fill("/it's/1\n/other");
  await page.locator("#data").fill("it's\ntwo lines");
  await page.getByRole("checkbox", { name: "Private" }).check();
  await page.evaluate(() => (navigator.clipboard.writeText = async (text) => (window.copied = text)));
  const copied = async (card, name) => {
    await page.locator(`section[aria-labelledby="${card}-title"]`).getByRole("button", { name }).click();
    return page.evaluate(() => window.copied);
  };

  const publishing = await copied("publish", "Copy as curl");
  const { stdout } = await run("sh", ["-c", publishing]);
  assert.match(stdout, /^\S+$/);
  const subscribing = await copied("subscribe", "Copy as curl");
  const curl = spawn("sh", ["-c", `exec ${subscribing} -s`], { stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => curl.kill());
  let stream = "";
  curl.stdout.setEncoding("utf8").on("data", (text) => (stream += text));
  await until(() => stream.includes("data: it's\ndata: two lines\n"), () => `the update in: ${stream}`);

  const link = await copied("subscribe", "Copy link");
  assert.ok(!link.includes(await page.locator("#token").inputValue()));
  const other = await openPage(page.context().browser(), link);
  await other.locator("[data-ready]").waitFor();
  const values = (selector) => other.locator(selector).evaluateAll((fields) => fields.map(({ value }) => value));
  assert.deepEqual(await values("#matchers input"), ["/it's/:id", "/exact"]);
  assert.deepEqual(await values("#matchers select"), ["match_urlpattern", "match"]);
  assert.deepEqual(await values("#topics, #data, #cursor"), ["earliest", "/it's/1\n/other", "it's\ntwo lines"]);
  assert.equal(await other.getByLabel("long polling").isChecked(), true);
  assert.equal(await other.getByRole("checkbox", { name: "Private" }).isChecked(), true);
  await press(other, "Subscribe");
  await waitForTexts(other, "#events .data", ["it's\ntwo lines"]);
  assert.equal(hub.origin, new URL(link).origin);
});

test("subscriptions that are active are listed", async (t) => {
  const { page } = await openDebugger(t);
  await press(page, "Subscribe");
  await waitForConnection(page);
  await press(page, "Refresh");
  await waitForTexts(page, "#subscriptions .match", ["/demo"]);
  await press(page, "Stop");
  await until(async () => {
    await press(page, "Refresh");
    return (await page.locator("#subscriptions-said").textContent()) === "None.";
  }, "the subscription to have ended");
  await page.locator("#token").fill("");
  await press(page, "Refresh");
  await page.getByText("The list needs a token").waitFor();
  assertNoFaults(page);
});

test("EventSource serves for a subscription without a token", async (t) => {
  const { hub, page } = await openDebugger(t);
  await page.getByLabel("EventSource (no token)").check();
  await press(page, "Subscribe");
  await waitForConnection(page);
  const id = await hub.publish("/demo", "plain");
  await waitForTexts(page, "#events .data", ["plain"]);
  await waitForTexts(page, "#events .id code", [id]);
  assertNoFaults(page);
});

for (const [label, wire] of [["WebSocket", /^\{"update":\{"id":/], ["long polling", /^\{"id":/]]) {
  test(`${label} serves for a subscription with a token, and is answered about cursors`, async (t) => {
    const { hub, page } = await openDebugger(t);
    const first = await hub.publish("/demo", "first");
    await hub.publish("/demo", "second", { private: "on", type: "secret" });
    await page.getByLabel(label, { exact: true }).check();
    await page.getByLabel("After this event id").fill(first);
    await press(page, "Subscribe");
    await waitForConnection(page);
    await hub.publish("/demo", "third");
    await waitForTexts(page, "#events .data", ["third", "second"]);
    await waitForTexts(page, "#events .type", ["message", "secret"]);
    await waitForTexts(page, "#answered", [first]);
    assert.match((await texts(page, "#events .wire"))[0], wire);
    assertNoFaults(page);
  });
}

test("a token is made and read; what it does not allow is refused with the hub's own words", async (t) => {
  const { page } = await openDebugger(t);
  await page.locator("#token-said").filter({ hasText: "Valid for 60 minutes" }).waitFor();
  await page.getByText("Make a token").click();
  await page.getByLabel("May publish to").fill("/only /those");
  await page.getByLabel("May read private").fill("");
  await page.getByLabel("Seconds").fill("90");
  const before = await page.locator("#token").inputValue();
  await press(page, "Make");
  await page.locator("#token-said").filter({ hasText: "Valid for 90 seconds" }).waitFor();
  assert.notEqual(await page.locator("#token").inputValue(), before);
  await page.getByText("Header and claims").click();
  const claims = JSON.parse(await page.locator("#token-claims").textContent());
  const matches = claims.authorization_details.flatMap(({ topics }) => topics.map(({ match }) => match));
  assert.deepEqual(matches, ["/only", "/those"]);
  assert.equal(JSON.parse(await page.locator("#token-header").textContent()).typ, "at+jwt");

  await publish(page, "/only", "allowed", {});
  await page.getByLabel("Topics, one per line").fill("/others");
  await press(page, "Publish");
  await page.locator("#publish-said.bad").filter({ hasText: /^40[13] \S.*: \S/ }).waitFor();
});

test("without development mode a pasted token serves", async (t) => {
  const hub = await Hub.start(t);
  const context = await (await openChromium(t)).newContext();
  const page = await context.newPage();
  const settings = { hub: "/.well-known/mercure", pages: ["debugger"] };
  await page.route("**/settings.json", (route) => route.fulfill({ json: settings }));
  await page.route("**/dev/**", (route) => route.fulfill({ status: 404, body: "" }));
  await page.goto(`${hub.origin}/debugger/`);
  await page.locator("[data-ready]").waitFor();
  assert.equal(await page.getByText("Make a token").isVisible(), false);
  await page.locator("#token").fill(await hub.token());
  await page.locator("#token-said").filter({ hasText: /^Valid for \d+/ }).waitFor();
  await press(page, "Publish");
  await page.locator("#publish-said.good").filter({ hasText: "Published in" }).waitFor();
});

test("the hub's problem documents are shown", async (t) => {
  const { page } = await openDebugger(t);
  await page.locator("#token").fill("");
  await page.getByText("No token: the hub sees an anonymous subscriber.").waitFor();
  await press(page, "Publish");
  await page.locator("#publish-said.bad").filter({ hasText: /^401 \S.*: \S/ }).waitFor();
  await page.locator("#token").fill("not.a-token");
  await page.getByText("Not a JWT").waitFor();
});

test("a private event comes only to who may read it", async (t) => {
  const { hub, page } = await openDebugger(t);
  await press(page, "Subscribe");
  await waitForConnection(page);
  const anonymous = await openPage(page.context().browser(), `${hub.origin}/debugger/`);
  await anonymous.locator("[data-ready]").waitFor();
  await anonymous.locator("#token").fill("");
  await press(anonymous, "Subscribe");
  await waitForConnection(anonymous);

  await page.getByRole("checkbox", { name: "Private" }).check();
  await publish(page, "/demo", "secret", {});
  await page.getByRole("checkbox", { name: "Private" }).uncheck();
  await publish(page, "/demo", "open", {});
  await waitForTexts(page, "#events .data", ["open", "secret"]);
  await waitForTexts(anonymous, "#events .data", ["open"]);
});

test("dropping the connection loses nothing and doubles nothing", async (t) => {
  const { page } = await openDebugger(t);
  const sockets = [];
  page.on("websocket", (socket) => {
    socket.on("framesent", ({ payload }) => payload.includes(`"subscribe"`) && sockets.push({ socket, ...JSON.parse(payload).subscribe }));
  });
  for (let round = 1; round <= 2; round += 1) {
    await press(page, "Drop the connection");
    await page.locator("#drop-said.good").filter({ hasText: /^All 60 came once and in order, \d+ of them after/ }).waitFor({ timeout: 60000 });
    // The counters are drawn with the next frame.
    const counters = { sent: "60", received: "60", lost: "0", doubled: "0", disordered: "0" };
    for (const [id, count] of Object.entries(counters)) await waitForTexts(page, `#${id}`, [count]);
    assert.ok(Number((await texts(page, "#replayed"))[0]) >= 10, "what was published while away came by replay");
    // The connection was really cut and opened again, with the last id seen.
    assert.equal(sockets.length, 2 * round);
    assert.equal(sockets.at(-2).last_event_id, undefined);
    assert.match(sockets.at(-1).last_event_id, /\S/);
    await until(() => sockets.at(-2).socket.isClosed(), "the first connection to have been cut");
  }
  assertNoFaults(page);
});

test("the drop test says so when an event is lost or doubled", async (t) => {
  const { page } = await openDebugger(t);
  let posts = 0;
  await page.route("**/.well-known/mercure", async (route) => {
    posts += 1;
    // A hub that acknowledges the fifth event and loses it, and takes the ninth twice.
    if (posts === 5) return route.fulfill({ status: 200, body: "urn:uuid:lost" });
    if (posts === 9) await route.fetch();
    return route.continue();
  });
  await press(page, "Drop the connection");
  await page.locator("#drop-said.bad").filter({ hasText: "Something went wrong" }).waitFor({ timeout: 90000 });
  for (const id of ["lost", "doubled"]) await waitForTexts(page, `#${id}`, ["1"]);
});

async function openDebugger(t) {
  const hub = await Hub.start(t);
  const page = await openPage(await openChromium(t), `${hub.origin}/debugger/`);
  await page.locator("[data-ready]").waitFor();
  return { hub, page };
}

const press = (page, name) => page.getByRole("button", { name, exact: true }).click();

async function publish(page, topics, text, fields) {
  await page.getByLabel("Topics, one per line").fill(topics);
  await page.locator("#data").fill(text);
  if (Object.keys(fields).length > 0) {
    const details = page.locator("#publish details");
    if (!(await details.evaluate(({ open }) => open))) await details.locator("summary").click();
    for (const [name, value] of Object.entries(fields)) await page.locator(`#publish [name="${name}"]`).fill(value);
  }
  const answer = page.waitForResponse((response) => response.request().method() === "POST");
  await press(page, "Publish");
  assert.equal((await answer).status(), 200);
}
