// examples/cluster as it stands: whatever is killed, each page has every number once.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { assertNoFaults, openChromium, openPage } from "../support/chromium.mjs";
import { BINARY, START_MS_MAX, until } from "../support/hub.mjs";

const APP = fileURLToPath(new URL("../../../examples/cluster/app.mjs", import.meta.url));

test("hubs and the engine die, and a page neither loses nor doubles a number", async (t) => {
  const origin = await start(t);
  const browser = await openChromium(t);
  const [page, other] = [await openPage(browser, origin), await openPage(browser, origin)];
  for (const each of [page, other]) await goesOn(each);

  // The hub that serves the page dies, comes back, and then the next one dies.
  for (let round = 0; round < 2; round += 1) {
    const served = await page.evaluate(() => document.body.dataset.served);
    await press(page, "Kill", `hub ${served}`);
    await page.waitForFunction((before) => document.body.dataset.served !== before, served);
    for (const each of [page, other]) await goesOn(each);
    await press(page, "Start", `hub ${served}`);
    await page.locator(`[data-part="${served}"]`).getByText("ready", { exact: true }).waitFor();
  }

  // Without the engine nothing is published, and the pages stay connected, also one that is opened now.
  await press(page, "Kill", "engine");
  const last = page.locator('[data-part="three"]');
  await last.getByText("running, not ready").waitFor();
  const late = await openPage(browser, origin);
  await late.waitForFunction(() => document.body.dataset.served !== undefined);
  await press(page, "Start", "engine");
  await last.getByText("ready", { exact: true }).waitFor();
  for (const each of [page, other, late]) await goesOn(each);

  for (const each of [page, other, late]) {
    assert.deepEqual([await number(each, "lost"), await number(each, "doubled")], [0, 0]);
  }
  // The browser notes each connection that broke.
  for (const each of [page, other, late]) each.faults = each.faults.filter((fault) => !fault.includes("net::ERR_"));
  assertNoFaults(page, other, late);
});

// Starts the example on a free port. It ends with the test `t`, with everything that it started.
async function start(t) {
  const child = spawn("node", [APP], { env: { ...process.env, PORT: "0", TIDINGS: BINARY }, stdio: ["ignore", "pipe", "pipe"] });
  t.after(async () => {
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    await exited;
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (output += text));
  await until(() => /Open (\S+)/.test(output) || child.exitCode !== null, () => `the example; it wrote: ${output}`, START_MS_MAX);
  assert.equal(child.exitCode, null, output);
  return /Open (\S+)/.exec(output)[1];
}

const press = (page, action, part) => page.getByRole("button", { name: `${action} ${part}` }).click();

const number = async (page, id) => Number(await page.locator(`#${id}`).textContent());

// Waits until a page has more than what was published so far.
async function goesOn(page) {
  const before = await number(page, "received");
  await page.waitForFunction((count) => Number(document.getElementById("received").textContent) > count + 5, before);
}
