// Opens pages in headless Firefox, which puppeteer drives by WebDriver BiDi. (playwright-core drives only its own builds.)

import { existsSync } from "node:fs";
import puppeteer from "puppeteer-core";

const PATHS = [process.env.FIREFOX, "/usr/bin/firefox-esr", "/usr/bin/firefox"];

// Where Firefox is installed, or undefined.
export const firefoxPath = PATHS.find((path) => path && existsSync(path));

// Returns a browser that ends with the test `t`.
export async function openFirefox(t) {
  const browser = await puppeteer.launch({ browser: "firefox", executablePath: firefoxPath, headless: true });
  t.after(() => browser.close());
  return browser;
}

// Opens an address as a person of its own.
export async function openPage(browser, address) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  page.setDefaultTimeout(30000);
  const faults = [];
  page.on("console", (line) => line.type() === "error" && faults.push(`console: ${line.text()}`));
  page.on("pageerror", (error) => faults.push(`exception: ${error.message}`));
  await page.goto(address);
  return Object.assign(page, { faults });
}

// Waits until exactly these texts are shown.
export async function waitForTexts(page, selector, expected) {
  const shown = () => page.$$eval(selector, (elements) => elements.map((element) => element.textContent));
  const same = (where, wanted) =>
    JSON.stringify([...document.querySelectorAll(where)].map((element) => element.textContent)) === wanted;
  try {
    // By time, not by frame: a window behind another one draws no frames.
    await page.waitForFunction(same, { polling: 50 }, selector, JSON.stringify(expected));
  } catch (error) {
    throw new Error(`${selector} shows ${JSON.stringify(await shown())}, not ${JSON.stringify(expected)}`, { cause: error });
  }
}

export const waitForConnection = (page) => page.waitForSelector(`#state[data-state="open"]`);
