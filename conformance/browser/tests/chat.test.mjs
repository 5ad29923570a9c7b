import assert from "node:assert/strict";
import { test } from "node:test";
import { assertNoFaults, openChromium, openPage, texts, waitForConnection, waitForTexts } from "../support/chromium.mjs";
import { Hub, until } from "../support/hub.mjs";

test("two people chat, and who comes back sees what was said", async (t) => {
  const hub = await Hub.start(t);
  const browser = await openChromium(t);
  const alice = await openPage(browser, `${hub.origin}/chat/`);
  const bob = await openPage(browser, `${hub.origin}/chat`);
  await Promise.all([waitForConnection(alice), waitForConnection(bob)]);
  assert.equal(new URL(bob.url()).pathname, "/chat/");
  await alice.getByText("Nobody has said anything yet").waitFor();

  await say(alice, "Alice", "Good evening");
  await waitForTexts(bob, "#said .text", ["Good evening"]);
  await say(bob, "Bob", "Hello Alice é € 😀");
  await say(alice, "Alice", "two\tthree");
  await waitForTalk(alice);
  await waitForTalk(bob);
  assert.equal(await alice.getByText("Nobody has said anything yet").isVisible(), false);

  const [time] = await texts(alice, "#said time");
  assert.match(time, /^\d\d:\d\d/);

  await alice.reload();
  await waitForTalk(alice);
  assert.equal(await alice.getByLabel("Name").inputValue(), "Alice");
  const carol = await openPage(browser, `${hub.origin}/chat/`);
  await waitForTalk(carol);
  assertNoFaults(alice, bob, carol);
});

async function waitForTalk(page) {
  await waitForTexts(page, "#said .text", ["Good evening", "Hello Alice é € 😀", "two\tthree"]);
  await waitForTexts(page, "#said .from", ["Alice", "Bob", "Alice"]);
}

test("who is there is told to everybody, with the name that was chosen", async (t) => {
  const hub = await Hub.start(t);
  const browser = await openChromium(t);
  const alice = await openPage(browser, `${hub.origin}/chat/`);
  await waitForTexts(alice, "#here", ["1 without a name"]);
  await alice.getByLabel("Name").fill("Alice");
  await alice.getByLabel("Name").press("Tab");
  await waitForTexts(alice, "#here", ["Alice (you)"]);
  const bob = await openPage(browser, `${hub.origin}/chat/`);
  await waitForTexts(alice, "#here", ["Alice (you), 1 more"]);
  await say(bob, "Bob <b>", "I am here");
  await waitForTexts(alice, "#here", ["Alice (you), Bob <b>"]);
  await waitForTexts(bob, "#here", ["Alice, Bob <b> (you)"]);
  // A second tab of the same person is the same person, by the same connection.
  const second = await bob.context().newPage();
  await second.goto(`${hub.origin}/chat/`);
  await waitForTexts(second, "#here", ["Alice, Bob <b> (you)"]);
  await bob.close();
  await waitForTexts(second, "#said .text", ["I am here"]);
  await alice.close();
  await waitForTexts(second, "#here", ["Bob <b> (you)"]);
  // A hub without presence, or in operation, has a chat without this line.
  await second.route("**/settings.json", (route) => route.fulfill({ json: { hub: "/.well-known/mercure", pages: ["chat"] } }));
  await second.reload();
  await waitForTexts(second, "#said .text", ["I am here"]);
  assert.equal(await second.locator("#people").isVisible(), false);
});

test("the text stays until the hub has it, and what is typed meanwhile stays too", async (t) => {
  const hub = await Hub.start(t);
  const page = await openPage(await openChromium(t), `${hub.origin}/chat/`);
  await waitForConnection(page);
  let release;
  await page.route("**/message/broadcast", async (route) => {
    await new Promise((resolve) => (release = resolve));
    return route.continue();
  });
  await page.getByLabel("Name").fill("Ann");
  await page.getByLabel("Message").fill("first");
  await page.keyboard.press("Enter");
  await until(() => release, "the POST");
  assert.equal(await page.locator("#text").inputValue(), "first");
  await page.keyboard.type(" second");
  release();
  await waitForTexts(page, "#said .text", ["first"]);
  await page.waitForFunction(() => document.querySelector("#text").value === " second");
});

test("the sender sees his own message only when it came through the hub", async (t) => {
  const hub = await Hub.start(t);
  const page = await openPage(await openChromium(t), `${hub.origin}/chat/`);
  await waitForConnection(page);

  // The hub's answer comes, but what was posted never reached the hub: nothing may be shown.
  let posted = "";
  await page.route("**/message/broadcast", (route) => {
    posted = route.request().postData();
    return route.fulfill({ contentType: "application/json", body: "true" });
  });
  await say(page, "Alice", "swallowed");
  await until(() => posted, "the POST");
  assert.equal(posted, "from=Alice&text=swallowed");
  await page.unroute("**/message/broadcast");
  await say(page, "Alice", "let through");
  await waitForTexts(page, "#said .text", ["let through"]);
  assertNoFaults(page);
});

test("what looks like a script stays text", async (t) => {
  const hub = await Hub.start(t);
  const page = await openPage(await openChromium(t), `${hub.origin}/chat/`);
  await waitForConnection(page);
  const evil = `<script>document.title = "owned"</script><img src=x onerror="document.title='owned'"> &amp; <b>bold</b>`;
  await say(page, "<i>Mallory</i>", evil);
  await waitForTexts(page, "#said .text", [evil]);
  await waitForTexts(page, "#said .from", ["<i>Mallory</i>"]);
  assert.equal(await page.locator("#said").locator("script, img, b, i").count(), 0);
  assert.match(await page.title(), /^Chat/);
  assertNoFaults(page);
});

test("the chat needs only the keyboard", async (t) => {
  const hub = await Hub.start(t);
  const page = await openPage(await openChromium(t), `${hub.origin}/chat/`);
  await waitForConnection(page);
  // A newcomer starts in the name, goes on with Tab and sends with Enter.
  await page.locator("#from:focus").waitFor();
  await page.keyboard.type("Ann");
  await page.keyboard.press("Tab");
  await page.keyboard.type("first");
  await page.keyboard.press("Enter");
  await waitForTexts(page, "#said .text", ["first"]);
  await answered(page);
  // The focus stays in the message, for the next one; the button works as well.
  await page.keyboard.type("second");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Space");
  await waitForTexts(page, "#said .text", ["first", "second"]);
  await page.waitForFunction(() => document.querySelector("#text").value === "");
  // The list itself can be reached and scrolled.
  await page.locator("#text:focus").waitFor();
  await page.keyboard.press("Shift+Tab");
  await page.keyboard.press("Shift+Tab");
  await page.locator("#log:focus").waitFor();
  assertNoFaults(page);
});

test("nothing is sent without a name or a message", async (t) => {
  const hub = await Hub.start(t);
  const page = await openPage(await openChromium(t), `${hub.origin}/chat/`);
  await waitForConnection(page);
  await say(page, "   ", "no name");
  await say(page, "Ann", "   ");
  await say(page, "Ann", "both");
  await waitForTexts(page, "#said .text", ["both"]);
});

test("a refused message is told, and its text is not lost", async (t) => {
  const hub = await Hub.start(t);
  const page = await openPage(await openChromium(t), `${hub.origin}/chat/`);
  await waitForConnection(page);
  await page.route("**/message/broadcast", (route) =>
    route.fulfill({ status: 503, contentType: "application/problem+json", body: `{"title":"x","detail":"the disk is full"}` }),
  );
  await say(page, "Ann", "keep me");
  await page.getByText("Not sent: the disk is full").waitFor();
  assert.equal(await page.locator("#text").inputValue(), "keep me");
});

test("a long list stays usable", async (t) => {
  const hub = await Hub.start(t);
  const all = Array.from({ length: 450 }, (_, at) => `number ${at + 1}`);
  for (const text of all) await hub.say(Number(text.slice(7)) % 3 ? "Ann" : "Ben", text);
  const page = await openPage(await openChromium(t), `${hub.origin}/chat/`);

  await waitForTexts(page, "#said .text", all.slice(-200));
  await page.waitForFunction(() => {
    const log = document.querySelector("#log");
    return log.scrollHeight - log.scrollTop - log.clientHeight < 2;
  });
  // Who reads further up is not pulled down by what comes, and is told of it.
  await page.evaluate(() => document.querySelector("#log").scrollTo(0, 300));
  await hub.say("Ben", "while you read");
  await page.getByRole("button", { name: "New below" }).waitFor();
  assert.equal(await page.evaluate(() => document.querySelector("#log").scrollTop), 300);
  await page.getByRole("button", { name: "New below" }).click();
  await page.getByText("while you read").waitFor();

  await page.getByRole("button", { name: "Show earlier" }).click();
  await page.getByRole("button", { name: "Show earlier" }).click();
  await waitForTexts(page, "#said .text", [...all, "while you read"]);
  assert.equal(await page.getByRole("button", { name: "Show earlier" }).isVisible(), false);
  assert.equal((await texts(page, "#said li.again .from")).every((name) => /^(Ann|Ben)$/.test(name)), true);
  assertNoFaults(page);
});

async function say(page, name, text) {
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Message").fill(text);
  await page.getByRole("button", { name: "Send" }).click();
  await answered(page);
}

// A message may be shown before the answer to its POST has come. The page sends one at a time, and then empties its field.
const answered = (page) => page.waitForFunction(() => document.querySelector("#say").getAttribute("aria-busy") !== "true");
