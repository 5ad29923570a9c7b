// Opens pages in headless Chromium, and notes what no page may do: log an error, or ask another host for something.

import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

// Returns a browser, which the caller closes.
export function launchChromium({ flags = [] } = {}) {
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  return chromium.launch({ executablePath, headless: true, args: [...FLAGS, ...flags] });
}

// Returns a browser that ends with the test `t`.
export async function openChromium(t, options = {}) {
  const browser = await launchChromium(options);
  t.after(() => browser.close());
  return browser;
}

// Opens an address as a person of its own: own storage, own window.
export async function openPage(browser, address, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(20000);
  const faults = watch(page, new URL(address).origin);
  await page.goto(address);
  return Object.assign(page, { faults });
}

// Collects console errors, uncaught exceptions and requests that leave the origin.
export function watch(page, origin) {
  const faults = [];
  page.on("console", (line) => {
    if (line.type() === "error" || line.type() === "warning") faults.push(`console: ${line.text()}`);
  });
  page.on("pageerror", (error) => faults.push(`exception: ${error.message}`));
  page.on("request", (request) => {
    if (new URL(request.url()).origin !== origin) faults.push(`left the origin: ${request.url()}`);
  });
  return faults;
}

export function assertNoFaults(...pages) {
  assert.deepEqual(pages.flatMap((page) => page.faults), []);
}

export const texts = (page, selector) => page.locator(selector).allTextContents();

// Waits until exactly these texts are shown.
export async function waitForTexts(page, selector, expected) {
  const same = ([where, wanted]) =>
    JSON.stringify([...document.querySelectorAll(where)].map((element) => element.textContent)) === JSON.stringify(wanted);
  try {
    await page.waitForFunction(same, [selector, expected]);
  } catch {
    assert.deepEqual(await texts(page, selector), expected);
  }
}

export const waitForConnection = (page, selector = "#state") =>
  page.locator(`${selector}[data-state="open"]`).waitFor({ state: "visible" });
