import assert from "node:assert/strict";
import { test } from "node:test";
import { assertNoFaults, openChromium, openPage, texts, waitForConnection, waitForTexts } from "../support/chromium.mjs";
import { Hub, matchState } from "../support/hub.mjs";

// A match day is some 180 publications, one after the other.
const DAY_MS_MAX = 120000;

test("a goal reaches three boards", async (t) => {
  const hub = await Hub.start(t);
  const browser = await openChromium(t);
  await hub.publish("/scores/1", matchState("1", []));
  await hub.publish("/scores/2", matchState("2", ["Early"]));
  const boards = await openBoards(browser, hub, 3);
  for (const board of boards) {
    await waitForTexts(board, ".match .score", ["0", "0", "1", "0"]);
    await board.evaluate(noteFresh);
  }

  await hub.publish("/scores/1", matchState("1", ["Okafor"]));
  for (const board of boards) {
    await waitForTexts(board, ".match .score", ["1", "0", "1", "0"]);
    await waitForTexts(board, `[data-match="1"] .goals li`, ["1′ Okafor"]);
    // It stands out, and a screen reader is told; the goal that was there on load did neither.
    assert.deepEqual((await board.evaluate(() => window.fresh)).map(({ where }) => where), ["1 home"]);
    await waitForTexts(board, "#spoken", ["Goal! Home 1 1, Away 1 0, Okafor."]);
    await waitForTexts(board, "#updates", ["3"]);
  }
  assertNoFaults(...boards);
});

test("the reporter's goal reaches the boards", async (t) => {
  const hub = await Hub.start(t);
  const browser = await openChromium(t);
  const reporter = await openPage(browser, `${hub.origin}/scores/reporter.html`);
  const [board] = await openBoards(browser, hub, 1);
  await board.getByText("No matches yet").waitFor();
  await reporter.getByText("Publish token: set").waitFor();

  await reporter.getByText("Add a match", { exact: true }).click();
  await reporter.getByLabel("Home team").fill("Lions");
  await reporter.getByLabel("Away team").fill("O'Hara's");
  await reporter.getByRole("button", { name: "Add", exact: true }).click();
  await waitForTexts(board, ".match .team", ["Lions", "O'Hara's"]);

  // Two goals at once: the second starts from the first, and does not overwrite it.
  await reporter.getByLabel("O'Hara's", { exact: true }).check();
  await reporter.getByLabel("Minute", { exact: true }).fill("12");
  await reporter.getByLabel("Phase").selectOption("first half");
  await reporter.getByLabel("Player").fill("One");
  await reporter.evaluate(() => {
    const form = document.querySelector("#report");
    form.requestSubmit();
    form.player.value = "Two";
    form.requestSubmit();
  });
  for (const page of [board, reporter]) {
    await waitForTexts(page, ".match .score", ["0", "2"]);
    await waitForTexts(page, ".goals li", ["12′ One", "12′ Two"]);
    await waitForTexts(page, ".phase", ["first half"]);
  }
  // The line for a terminal survives the quote in the name.
  assert.match(await reporter.locator("#line").textContent(), /^tidings publish .*\/scores\/1.*"away":"O'\\''Hara'\\''s"/);
  assertNoFaults(reporter, board);
});

test("a refused report says why", async (t) => {
  const hub = await Hub.start(t);
  await hub.publish("/scores/1", matchState("1", []));
  const reporter = await openPage(await openChromium(t), `${hub.origin}/scores/reporter.html`);
  await waitForTexts(reporter, ".match .score", ["0", "0"]);
  await reporter.getByText("Publish token: set").waitFor();
  await reporter.getByText("Publish token").click();
  await reporter.getByLabel("Access token").fill("");
  await reporter.getByRole("button", { name: "Report the goal" }).click();
  await reporter.locator("#report-said.bad").filter({ hasText: /^401 \S/ }).waitFor();
  await waitForTexts(reporter, ".match .score", ["0", "0"]);
});

test("on load the latest state is drawn once, without the earlier ones", async (t) => {
  const hub = await Hub.start(t);
  const goals = [];
  for (let at = 1; at <= 60; at += 1) {
    goals.push(`P${at}`);
    await hub.publish("/scores/7", matchState("7", goals));
  }
  const context = await (await openChromium(t)).newContext();
  const page = await context.newPage();
  await page.addInitScript(() => {
    window.seen = [];
    const note = () => {
      const shown = document.querySelector(".home .score")?.textContent;
      if (shown !== undefined && shown !== window.seen.at(-1)) window.seen.push(shown);
    };
    new MutationObserver(note).observe(document, { subtree: true, childList: true, characterData: true });
  });
  await page.goto(`${hub.origin}/scores/`);
  await waitForTexts(page, ".home .score", ["60"]);
  await waitForTexts(page, "#updates", ["60"]);
  assert.deepEqual(await page.evaluate(() => window.seen), ["60"]);
  assert.equal(await page.locator(".score.fresh").count(), 0);
});

test("a match day ends with the same scores on three boards and at the reporter", async (t) => {
  const hub = await Hub.start(t);
  const browser = await openChromium(t);
  const boards = await openBoards(browser, hub, 3);
  const reporter = await openPage(browser, `${hub.origin}/scores/reporter.html?seed=11&speed=30`);
  await waitForConnection(reporter);
  await reporter.getByText("Publish token: set").waitFor();
  await reporter.getByRole("button", { name: "Play a match day" }).click();

  const finished = Array(6).fill("full time");
  for (const page of [...boards, reporter]) {
    page.setDefaultTimeout(DAY_MS_MAX);
    await waitForTexts(page, ".phase", finished);
  }
  const said = await reporter.getByText("Full time everywhere").textContent();
  const published = /(\d+) updates published/.exec(said)[1];
  const expected = await finalScores(reporter, 11);
  for (const page of [...boards, reporter]) {
    await waitForTexts(page, "#updates", [published]);
    assert.deepEqual(await texts(page, ".match .score"), expected.scores);
    assert.deepEqual(await texts(page, ".goals li"), expected.goals);
    assert.deepEqual(await texts(page, "#doubled"), ["0"]);
  }
  assertNoFaults(reporter, ...boards);
});

test("a goal reported while a match day is played stays", async (t) => {
  const hub = await Hub.start(t);
  const reporter = await openPage(await openChromium(t), `${hub.origin}/scores/reporter.html?seed=11&speed=8`);
  await reporter.getByText("Publish token: set").waitFor();
  await reporter.getByRole("button", { name: "Play a match day" }).click();
  await reporter.locator(".match").nth(5).waitFor();
  await reporter.getByLabel("Match", { exact: true }).selectOption("4");
  await reporter.getByLabel("Player").fill("Surprise");
  await reporter.getByRole("button", { name: "Report the goal" }).click();
  await reporter.getByText("Full time everywhere").waitFor({ timeout: DAY_MS_MAX });
  const [planned] = (await finalScores(reporter, 11)).scores.slice(6);
  await waitForTexts(reporter, `[data-match="4"] .home .score`, [String(Number(planned) + 1)]);
  await reporter.locator(`[data-match="4"] .goals`).getByText("Surprise").waitFor();
  assertNoFaults(reporter);
});

test("goals that come with reduced motion do not move", async (t) => {
  const hub = await Hub.start(t);
  const browser = await openChromium(t);
  await hub.publish("/scores/1", matchState("1", []));
  const animation = async (reducedMotion, goals) => {
    const page = await openPage(browser, `${hub.origin}/scores/`, { reducedMotion });
    await page.locator(".match").waitFor();
    await page.evaluate(noteFresh);
    await hub.publish("/scores/1", matchState("1", goals));
    return (await page.evaluate(() => window.fresh))[0].animation;
  };
  assert.equal(await animation("no-preference", ["A"]), "goal");
  assert.equal(await animation("reduce", ["A", "B"]), "none");
});

// In the page: notes which scores stand out first. They do so for some seconds, which a busy machine may look away for.
function noteFresh() {
  window.fresh = new Promise((resolve) => {
    const look = () => {
      const scores = [...document.querySelectorAll(".score.fresh")];
      const where = (score) => `${score.closest(".match").dataset.match} ${score.closest(".home") ? "home" : "away"}`;
      if (scores.length > 0) resolve(scores.map((score) => ({ where: where(score), animation: getComputedStyle(score).animationName })));
    };
    new MutationObserver(look).observe(document, { subtree: true, attributeFilter: ["class"] });
  });
}

async function openBoards(browser, hub, count) {
  const open = async () => {
    const page = await openPage(browser, `${hub.origin}/scores/`);
    await waitForConnection(page);
    return page;
  };
  return Promise.all(Array.from({ length: count }, open));
}

// What the plan of this seed ends with, in the order of the board.
function finalScores(page, seed) {
  return page.evaluate(async (number) => {
    const { planMatchDay } = await import("/scores/matchday.js");
    const last = new Map(planMatchDay(number).map(({ state }) => [state.id, state]));
    const states = [...last.values()].sort((a, b) => a.id - b.id);
    return {
      scores: states.flatMap(({ score }) => score.map(String)),
      goals: states.flatMap(({ goals }) => goals.map(({ minute, player }) => `${minute}′ ${player}`)),
    };
  }, seed);
}
