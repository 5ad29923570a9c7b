// Pictures of the pages, wide and narrow, light and dark, to be looked at: artifacts/screenshots/ in the root folder.
// Only the slow form takes all of them; else each page is opened wide in the light, and narrow in the dark.

import { mkdir } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { openChromium, openPage, waitForConnection, waitForTexts } from "../support/chromium.mjs";
import { Hub } from "../support/hub.mjs";
import { SLOW } from "../support/slow.mjs";

const FOLDER = fileURLToPath(new URL("../../../artifacts/screenshots/", import.meta.url));
const SIZES = { wide: { width: 1400, height: 900 }, narrow: { width: 390, height: 780 }, small: { width: 320, height: 640 } };
const SCENES = { front, "not-found": notFound, chat, old, scores, reporter, debugger: debuggerPage, diagnose, "diagnose-filtered": diagnoseFiltered };

test("pictures of all pages", async (t) => {
  const hub = await Hub.start(t);
  await mkdir(FOLDER, { recursive: true });
  const browser = await openChromium(t);
  await fill(hub, browser);
  for (const [name, scene] of Object.entries(SCENES)) {
    for (const [size, viewport] of Object.entries(SIZES)) {
      // It takes seconds, and looks like the other one.
      if (size === "small" && name === "diagnose-filtered") continue;
      for (const colorScheme of size === "small" ? ["light"] : ["light", "dark"]) {
        if (!SLOW && !["wide light", "narrow dark"].includes(`${size} ${colorScheme}`)) continue;
        const page = await openPage(browser, hub.origin, { viewport, colorScheme, reducedMotion: "reduce", locale: "en-GB" });
        await scene(page, hub);
        const fullPage = name !== "chat";
        await page.screenshot({ path: `${FOLDER}${name}-${size}-${colorScheme}.png`, fullPage });
        await page.context().close();
      }
    }
  }
});

async function fill(hub, browser) {
  const lines = [
    ["Alice", "Good evening! Is anybody there?"],
    ["Bob", "Just opened the second window. This came at once."],
    ["Bob", "And what you said before was there already."],
    ["Chloé", "Bonsoir à tous 😀"],
    ["Alice", "<b>Tags</b> stay text, as they should."],
    ["Bob", "A long one: the hub keeps what was said, so whoever comes later, or was away for a while in a tunnel, gets all of it, in order, once."],
    ["Alice", "Goodbye then, I close the window and come back tomorrow."],
  ];
  for (const [from, text] of lines) await hub.say(from, text);
  const reporter = await openPage(browser, `${hub.origin}/scores/reporter.html?seed=11&speed=200`);
  await reporter.getByText("Publish token: set").waitFor();
  await reporter.getByRole("button", { name: "Play a match day" }).click();
  await reporter.getByText("Full time everywhere").waitFor({ timeout: 60000 });
  const { state } = await reporter.evaluate(async () => {
    const { planMatchDay } = await import("/scores/matchday.js");
    return planMatchDay(11).findLast(({ state: { id, phase } }) => id === "2" && phase === "second half");
  });
  await hub.publish("/scores/2", state);
  await reporter.context().close();
}

async function front(page, hub) {
  await waitForConnection(page);
  await hub.publish("https://example.com/hello", "Hello from an application");
  await page.getByText("Hello from an application").waitFor();
}

async function notFound(page, hub) {
  await page.goto(`${hub.origin}/nowhere`);
}

async function old(page, hub) {
  await page.goto(`${hub.origin}/chat/old/`);
  await page.locator("#state.open").waitFor();
  await page.getByText("Goodbye then").waitFor();
}

async function chat(page, hub) {
  await page.evaluate(() => localStorage.setItem("tidings.chat.name", "Alice"));
  await page.goto(`${hub.origin}/chat/`);
  await waitForConnection(page);
  await page.locator("#said li").nth(6).waitFor();
}

async function scores(page, hub) {
  await page.goto(`${hub.origin}/scores/`);
  await page.locator(".match").nth(5).waitFor();
  const state = JSON.parse(JSON.stringify(await lastState(page)));
  state.score[0] += 1;
  state.goals.push({ minute: state.minute, team: "home", player: "Okafor" });
  // A goal stands out for five seconds.
  await Promise.all([page.locator(".score.fresh").waitFor(), hub.publish("/scores/2", state)]);
}

// Reads match 2 back from the board, so that each picture shows one goal more.
function lastState(page) {
  return page.locator(`[data-match="2"]`).evaluate((card) => {
    const all = (selector) => [...card.querySelectorAll(selector)];
    const [home, away] = all(".team").map(({ textContent }) => textContent);
    const goals = all(".goals li").map(({ className, textContent }) => {
      const [, minute, player] = /^(\d+)′ (.*)$/.exec(textContent);
      return { minute: Number(minute), team: className, player };
    });
    const minute = parseInt(card.querySelector(".minute").textContent, 10);
    return { id: "2", home, away, score: all(".score").map(({ textContent }) => Number(textContent)), minute, phase: "second half", goals };
  });
}

async function reporter(page, hub) {
  await page.goto(`${hub.origin}/scores/reporter.html?seed=11`);
  await page.locator(".match").nth(5).waitFor();
  await page.getByText("Publish token: set").waitFor();
  await page.getByLabel("Match", { exact: true }).selectOption({ index: 1 });
  await page.getByLabel("Player").fill("Okafor");
}

async function debuggerPage(page, hub) {
  await page.goto(`${hub.origin}/debugger/`);
  await page.locator("[data-ready]").waitFor();
  await page.getByRole("button", { name: "From the beginning" }).click();
  await waitForConnection(page);
  await page.locator("#data").fill(`{"title":"A book","tags":["new","sale"],"price":12.5}`);
  await page.getByRole("button", { name: "Publish", exact: true }).click();
  await page.locator("#events .latency").filter({ hasText: "ms" }).first().waitFor();
  await page.getByRole("button", { name: "Drop the connection" }).click();
  await page.locator("#drop-said.good").filter({ hasText: "All 60" }).waitFor({ timeout: 60000 });
}

async function diagnose(page, hub) {
  await page.goto(`${hub.origin}/diagnose/`);
  await page.locator("[data-ready]").waitFor();
}

// As behind a proxy that holds streams back and knows no WebSocket.
async function diagnoseFiltered(page, hub) {
  await page.route("**/diagnose/events", async (route) => route.fulfill({ response: await route.fetch() }));
  await page.addInitScript(() => {
    window.WebSocket = class {
      constructor() {
        setTimeout(() => this.onclose({ code: 1006 }), 12);
      }
      close() {}
    };
  });
  await diagnose(page, hub);
}
