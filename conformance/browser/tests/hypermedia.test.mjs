// Libraries that show HTML from a hub without a script of the application's own, as the pages in docs/guide/hypermedia.md
// do: each receives updates live, through a crash of the hub, and those published before it was back.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { test } from "node:test";
import { openChromium, texts, waitForTexts } from "../support/chromium.mjs";
import { Hub } from "../support/hub.mjs";

const require = createRequire(import.meta.url);
const module = (path) => new URL(`../node_modules/${path}`, import.meta.url);
const GUIDE = await readFile(new URL("../../../docs/guide/hypermedia.md", import.meta.url), "utf8");

// Of each library: its scripts, how an update adds an item to the list, and its event type.
const LIBRARIES = {
  "Hotwire Turbo": {
    scripts: [module("@hotwired/turbo/dist/turbo.es2017-umd.js")],
    data: (text) => `<turbo-stream action="append" target="list"><template><li>${text}</li></template></turbo-stream>`,
  },
  "htmx 2": {
    scripts: [createRequire(require.resolve("htmx-ext-sse/package.json")).resolve("htmx.org/dist/htmx.min.js"), module("htmx-ext-sse/sse.js")],
    data: (text) => `<li>${text}</li>`,
  },
  "htmx 4": {
    scripts: [module("htmx.org/dist/htmx.min.js"), module("htmx.org/dist/ext/hx-sse.min.js")],
    data: (text) => `<li>${text}</li>`,
  },
  Datastar: {
    scripts: [module("@starfederation/datastar/dist/datastar.js")],
    isModule: true,
    data: (text) => `selector #list\nmergeMode append\nfragments <li>${text}</li>`,
    type: "datastar-merge-fragments",
  },
  Alpine: {
    scripts: [module("alpinejs/dist/cdn.min.js")],
    data: (text) => JSON.stringify({ text }),
  },
};

test("each library shows everything once and in order, through a crash of the hub", async (t) => {
  const hub = await Hub.start(t);
  const browser = await openChromium(t);
  const pages = [];
  for (const name of Object.keys(LIBRARIES)) pages.push([name, await open(browser, hub, name)]);
  const all = Object.keys(LIBRARIES).length;
  await hub.subscribers(all);
  const shown = [];
  const publish = async (text) => {
    for (const [name, { data, type }] of Object.entries(LIBRARIES)) await hub.publish(topicOf(name), data(text), type ? { type } : {});
    shown.push(text);
  };
  for (const text of ["one", "two"]) await publish(text);
  for (const [, page] of pages) await waitForTexts(page, "#list li", shown);
  await hub.kill();
  await hub.run();
  // Nobody is back yet: browsers wait some seconds.
  await publish("missed");
  await hub.subscribers(all);
  await publish("live again");
  for (const [name, page] of pages) {
    await waitForTexts(page, "#list li", shown);
    assert.deepEqual([await texts(page, "#list li"), page.faults], [shown, []], name);
  }
});

const topicOf = (name) => `https://example.com/${name.toLowerCase().replaceAll(" ", "-")}`;

// Opens the guide's page for a library, served by the hub's own host.
async function open(browser, hub, name) {
  const { scripts, isModule } = LIBRARIES[name];
  const markup = new RegExp(`^## ${name}\\n[^]*?^\`\`\`html\\n([^]*?)^\`\`\``, "m").exec(GUIDE)[1];
  assert.ok(markup.includes(topicOf(name)), `the guide's page for ${name} subscribes to ${topicOf(name)}`);
  const page = await (await browser.newContext()).newPage();
  page.setDefaultTimeout(30000);
  const tags = scripts.map((_, at) => `<script src="/library/${at}.js"${isModule ? ` type="module"` : name === "Alpine" ? " defer" : ""}></script>`);
  const html = `<!doctype html><meta charset="utf-8"><title>${name}</title>${tags.join("")}<body>${markup}</body>`;
  await page.route("**/hypermedia", (route) => route.fulfill({ contentType: "text/html", body: html }));
  await page.route("**/library/*.js", async (route) => {
    const at = Number(/(\d+)\.js$/.exec(route.request().url())[1]);
    return route.fulfill({ contentType: "text/javascript", body: await readFile(scripts[at], "utf8") });
  });
  const faults = [];
  page.on("pageerror", ({ message }) => faults.push(message));
  await page.goto(`${hub.origin}/hypermedia`);
  return Object.assign(page, { faults });
}
