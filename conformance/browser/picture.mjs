// Takes the picture of the README, docs/scores.png, from the running page: `node picture.mjs`.

import { fileURLToPath } from "node:url";
import { openChromium, openPage } from "./support/chromium.mjs";
import { Hub } from "./support/hub.mjs";

const PICTURE = fileURLToPath(new URL("../../docs/scores.png", import.meta.url));

const ends = [];
try {
  const t = { after: (end) => ends.unshift(end) };
  const hub = await Hub.start(t);
  const browser = await openChromium(t);
  const reporter = await openPage(browser, `${hub.origin}/scores/reporter.html?seed=11&speed=200`);
  await reporter.getByText("there is one").waitFor();
  await reporter.getByRole("button", { name: "Play a match day" }).click();
  await reporter.getByText("Full time everywhere").waitFor();
  const states = await reporter.evaluate(async () => (await import("/scores/matchday.js")).planMatchDay(11).map(({ state }) => state));
  const board = await openPage(browser, `${hub.origin}/scores/`, {
    viewport: { width: 1000, height: 560 },
    colorScheme: "light",
    reducedMotion: "reduce",
    locale: "en-GB",
  });
  // Some matches are in their second half, and a goal has just been scored in one.
  for (const id of ["1", "2", "3", "4"]) {
    const running = states.filter((state) => state.id === id && state.phase === "second half");
    await hub.publish(`/scores/${id}`, running[Math.floor(running.length / 2)]);
  }
  await board.locator(`[data-match="4"]`).getByText("second half").waitFor();
  const second = states.filter((state) => state.id === "2" && state.phase === "second half");
  const goals = (state) => state.score[0] + state.score[1];
  const now = second[Math.floor(second.length / 2)];
  const next = second.find((state) => goals(state) > goals(now)) ?? second.at(-1);
  await hub.publish("/scores/2", next);
  await board.locator(".score.fresh").first().waitFor();
  await board.screenshot({ path: PICTURE });
} finally {
  for (const end of ends) await end();
}
