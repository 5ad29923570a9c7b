// The README and the guide for newcomers, word by word: their commands, files and pages are read from the text and run as they stand, but
// for the ports of the hub and of the application.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { access, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { openChromium, waitForTexts } from "../support/chromium.mjs";
import { BINARY, Hub, until } from "../support/hub.mjs";
import { freePort, listen } from "../support/ports.mjs";

const ROOT = new URL("../../../", import.meta.url);
const BLOCKS = await blocksOf("docs/guide/getting-started.md");
const README = await blocksOf("README.md");
const [, README_PAGE, README_PUBLISH] = README;
const [SITE_PUBLISH, SITE_SUBSCRIBE] = await blocksOf("docs/index.md");

// Each block, in order. One that is new needs a test below.
const INSTALL = 0;
const [CURL_SUBSCRIBE, CURL_PUBLISH, CURL_RESUME] = [1, 2, 3];
const [PAGE, PAGE_WITH_CLIENT] = [4, 5];
const ABRUPT = 6;
const [NODE_TOKENS, NODE_PUBLISH, RUN_NODE, PYTHON_PUBLISH, RUN_PYTHON] = [7, 8, 9, 10, 11];
const [SHELL_PUBLISH, SHELL_SUBSCRIBE] = [12, 13];
const [APP, RUN_APP] = [14, 15];
const LANGUAGES = "console console console console html html toml js js console python console console console js console";

test("each block of the guide is known to these tests", async () => {
  assert.equal(BLOCKS.map(({ language }) => language).join(" "), LANGUAGES);
  // What the other tests start in another way.
  assert.equal(BLOCKS[INSTALL].text, "cargo install --locked --path crates/tidings\ntidings dev\n");
  await access(new URL("crates/tidings/Cargo.toml", ROOT));
});

test("the page and the command of the README work as pasted", async (t) => {
  assert.equal(README.map(({ language }) => language).join(" "), "console html console console console");
  const newcomer = await Newcomer.start(t);
  const file = await newcomer.save("index.html", README_PAGE);
  const page = await (await (await openChromium(t)).newContext()).newPage();
  await page.goto(pathToFileURL(file).href);
  await newcomer.hub.subscribers(1);
  await newcomer.run(README_PUBLISH).end();
  await page.getByText("3 left in stock").waitFor();
});

test("the programs of the documentation's first page work as pasted", async (t) => {
  const newcomer = await Newcomer.start(t);
  const file = await newcomer.save("index.html", { text: `<!doctype html><title>Books</title><script>${SITE_SUBSCRIBE.text}</script>` });
  const page = await (await (await openChromium(t)).newContext()).newPage();
  const arrived = page.waitForEvent("console", (line) => line.text() === "3 left in stock");
  await page.goto(pathToFileURL(file).href);
  await newcomer.hub.subscribers(1);
  const [start, ...publish] = SITE_PUBLISH.text.split("\n");
  assert.equal(start, "tidings dev");
  await newcomer.run({ text: publish.join("\n") }).end();
  await arrived;
});

test("the curl commands subscribe, publish and resume", async (t) => {
  const newcomer = await Newcomer.start(t);
  const watching = newcomer.run(CURL_SUBSCRIBE);
  await newcomer.hub.subscribers(1);
  assert.match(await newcomer.run(CURL_PUBLISH).end(), /^urn:uuid:[0-9a-f-]{36}$/);
  await watching.shows('data: {"stock": 3}\n');
  const resumed = newcomer.run(CURL_RESUME);
  await resumed.shows("data: You missed this\n");
  assert.doesNotMatch(resumed.output, /You have seen this|stock/);
});

for (const [name, block, open] of [
  ["the page", PAGE, () => undefined],
  ["the page with the client", PAGE_WITH_CLIENT, (page) => waitForTexts(page, "#state", ["open"])],
]) {
  test(`${name} works as pasted, from a file and from other ports`, async (t) => {
    const newcomer = await Newcomer.start(t);
    const file = await newcomer.save("index.html", block);
    const port = await serve(t, file);
    const browser = await openChromium(t);
    let published = 0;
    for (const address of [pathToFileURL(file).href, `http://localhost:${port}/`, `http://127.0.0.1:${port}/`]) {
      const page = await (await browser.newContext()).newPage();
      const errors = [];
      page.on("console", (line) => line.type() === "error" && errors.push(line.text()));
      await page.goto(address);
      await newcomer.hub.subscribers(1);
      await open(page);
      await newcomer.run(CURL_PUBLISH).end();
      await newcomer.hub.publish("https://example.com/books/1", `${(published += 1)}`);
      await waitForTexts(page, "#updates li", ['{"stock": 3}', `${published}`]);
      assert.deepEqual(errors, [], address);
      await page.context().close();
      await newcomer.hub.subscribers(0);
    }
  });
}

test("a page that may not use the hub is named on the terminal, with what allows it", async (t) => {
  const newcomer = await Newcomer.start(t);
  const file = await newcomer.save("index.html", PAGE);
  const port = await serve(t, file);
  // A name of this machine that is none of the hub's, as a developer's proxy would have it.
  const browser = await openChromium(t, { flags: ["--host-resolver-rules=MAP app.test 127.0.0.1"] });
  const page = await (await browser.newContext()).newPage();
  await page.goto(`http://app.test:${port}/`);
  const said = `tidings dev --origin http://app.test:${port}`;
  await until(() => newcomer.hub.output.includes(said), () => newcomer.hub.output);
  await page.evaluate((url) => new WebSocket(url), `ws://localhost:${newcomer.hub.port}/.well-known/mercure?match=a`);
  const refused = `403  GET /.well-known/mercure?match=a`;
  await until(() => newcomer.hub.output.includes(refused), () => newcomer.hub.output);
});

test("applications and the shell publish with tokens of their own", async (t) => {
  const newcomer = await Newcomer.start(t);
  const watching = newcomer.run(SHELL_SUBSCRIBE);
  await newcomer.hub.subscribers(1);
  await newcomer.save("tidings.mjs", NODE_TOKENS);
  await newcomer.save("publish.mjs", NODE_PUBLISH);
  assert.match(await newcomer.run(RUN_NODE).end(), /^urn:uuid:/);
  await newcomer.save("publish.py", PYTHON_PUBLISH);
  assert.match(await newcomer.run(RUN_PYTHON).end(), /^urn:uuid:/);
  await newcomer.run(SHELL_PUBLISH).end();
  await watching.shows('{"stock": 4}');
  assert.deepEqual(watching.output.match(/\{.*\}/g), ['{"stock":2}', '{"stock": 1}', '{"stock": 0}', '{"stock": 4}']);
});

test("users get their private updates from login to logout", async (t) => {
  const newcomer = await Newcomer.start(t);
  await newcomer.save("tidings.mjs", NODE_TOKENS);
  await newcomer.save("app.mjs", APP);
  newcomer.run(RUN_APP);
  const address = `http://localhost:${newcomer.appPort}/`;
  await until(() => fetch(address).then(({ ok }) => ok, () => false), "the application");
  const browser = await openChromium(t);
  const visit = async (name) => {
    const page = await (await browser.newContext()).newPage();
    await page.goto(address);
    await page.getByLabel("Your name").fill(name);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("button", { name: "Remind me" }).waitFor();
    return page;
  };
  const remind = (page) => page.getByRole("button", { name: "Remind me" }).click();
  const [ann, ben] = [await visit("Ann"), await visit("Ben")];
  await newcomer.hub.subscribers(2);
  await remind(ann);
  await waitForTexts(ann, "#updates li", ["Hello Ann"]);
  await remind(ann);
  await remind(ben);
  await waitForTexts(ann, "#updates li", ["Hello Ann", "Hello Ann"]);
  await waitForTexts(ben, "#updates li", ["Hello Ben"]);
  // Somebody else's topic is of no use to Ben, and nor is any to a stranger: both get the first that is public.
  const annsTopic = "https://example.com/users/Ann";
  await newcomer.hub.publish(annsTopic, { text: "for all" });
  const first = async (page) => {
    const url = `${newcomer.hub.origin}/.well-known/mercure?match=${annsTopic}&last_event_id=earliest`;
    return page.evaluate(readFirst, url);
  };
  assert.deepEqual(await first(ann), { text: "Hello Ann" });
  assert.deepEqual(await first(ben), { text: "for all" });
  await ann.getByRole("button", { name: "Sign out" }).click();
  await ann.getByRole("button", { name: "Sign in" }).waitFor();
  assert.deepEqual(await ann.context().cookies(), []);
  assert.deepEqual(await first(ann), { text: "for all" });
});

// Runs in the page: what it receives first, with the visitor's cookie.
function readFirst(url) {
  return new Promise((resolve) => {
    const source = new EventSource(url, { withCredentials: true });
    source.onmessage = (event) => resolve(JSON.parse(event.data)) ?? source.close();
  });
}

test("the setting for clients that do not reconnect is one of the hub", async (t) => {
  const newcomer = await Newcomer.start(t);
  const file = await newcomer.save("tidings.toml", ABRUPT);
  const shown = await newcomer.shell(`tidings config show --config ${file}`).end();
  assert.match(shown, /end = "abrupt"/);
});

async function blocksOf(path) {
  const text = await readFile(new URL(path, ROOT), "utf8");
  return [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(([, language, text]) => ({ language, text }));
}

// Somebody who follows the guide in an empty folder.
class Newcomer {
  hub;
  appPort = 0;
  #folder;
  #t;

  static async start(t) {
    const newcomer = new Newcomer();
    newcomer.#t = t;
    newcomer.#folder = await mkdtemp(join(tmpdir(), "tidings-guide-"));
    t.after(() => rm(newcomer.#folder, { recursive: true, force: true }));
    newcomer.hub = await Hub.start(t, join(newcomer.#folder, "tidings-data"));
    newcomer.appPort = await freePort();
    return newcomer;
  }

  // A block as it stands, at the ports of this test.
  #block(block) {
    const { text } = BLOCKS[block] ?? block;
    return text.replaceAll("localhost:4400", `localhost:${this.hub.port}`).replaceAll("listen(3000,", `listen(${this.appPort},`);
  }

  async save(name, block) {
    const file = join(this.#folder, name);
    await writeFile(file, this.#block(block));
    return file;
  }

  run(block) {
    return this.shell(this.#block(block));
  }

  // Runs commands in the folder; they end with the test.
  shell(text) {
    // The hub would take the variable of the test runner for a setting that it does not know.
    const { TIDINGS_BIN: _, ...inherited } = process.env;
    const environment = { ...inherited, PATH: `${dirname(BINARY)}:${process.env.PATH}`, no_proxy: "*" };
    const child = spawn("bash", ["-e", "-o", "pipefail", "-c", text], { cwd: this.#folder, env: environment, detached: true });
    return new Command(this.#t, child);
  }
}

class Command {
  output = "";
  #errors = "";
  #child;
  #closed;

  constructor(t, child) {
    this.#child = child;
    child.stdout.setEncoding("utf8").on("data", (text) => (this.output += text));
    child.stderr.setEncoding("utf8").on("data", (text) => (this.#errors += text));
    this.#closed = once(child, "close");
    t.after(() => child.exitCode ?? child.signalCode ?? process.kill(-child.pid, "SIGKILL"));
  }

  async shows(text) {
    await until(() => this.output.includes(text), () => `${text}; it wrote: ${this.output}${this.#errors}`);
  }

  // Waits until it ends well, and returns what it wrote.
  async end() {
    const [code] = await this.#closed;
    assert.equal(code, 0, this.#errors);
    return this.output.trim();
  }
}

// Serves one page on a port of its own.
async function serve(t, file) {
  const server = createServer(async (request, response) => {
    // Browsers ask for an icon.
    if (request.url !== "/") return response.writeHead(204).end();
    response.writeHead(200, { "Content-Type": "text/html; charset=utf-8" }).end(await readFile(file));
  });
  return listen(t, server);
}
