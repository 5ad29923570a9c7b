// An application with Laravel's broadcasting (fixtures/laravel) before one hub or several, which one address joins.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { PhpServer } from "./broker.mjs";
import { openPage } from "./chromium.mjs";
import { Cutter } from "./cutter.mjs";
import { listen } from "./ports.mjs";
import { ServedHub } from "./served.mjs";

export const PREFIX = "https://laravel.alt/echo/";
export const SECRET = "a secret of the application, of at least 32 bytes";
export const ISSUER = "https://example.com";
const PATH = "/.well-known/mercure";

// The configuration in docs/guide/laravel.md, for plain HTTP on one machine.
const guide = await readFile(new URL("../../../docs/guide/laravel.md", import.meta.url), "utf8");
const [, toml] = /```toml\n([^]*?)```/.exec(guide);

function configuration(publicUrl, origin) {
  const changes = [
    ["https://hub.example.com/.well-known/mercure", publicUrl],
    ['key_file = "/etc/tidings/hub.key"', `key = "${SECRET}"`],
    ['origins = ["https://example.com"]', `origins = ["${origin}"]`],
    ["grace_secs = 10", "grace_secs = 2"],
  ];
  for (const [from] of changes) assert.ok(toml.includes(from), `the guide has ${from}`);
  return changes.reduce((text, [from, to]) => text.replaceAll(from, to), `${toml}\n[auth]\ncookie_names = ["mercure_access_token"]\n`);
}

export class Laravel {
  hubs = [];
  origin = "";
  publicUrl = "";
  // Bodies of the requests that the driver has sent to the hub.
  published = [];
  #next = 0;

  // Starts the application and its hubs: one, or one for each text of `clusters`, which is added to its configuration.
  // `expiresIn` are the seconds that a cookie lasts. Everything ends with the test `t`.
  static async start(t, { clusters = [""], expiresIn = 300 } = {}) {
    const laravel = new Laravel();
    const entrance = await Cutter.start(t, () => laravel.#nextPort());
    laravel.publicUrl = `http://localhost:${entrance.port}${PATH}`;
    const recorder = await listen(t, createServer((request, answer) => laravel.#forward(request, answer)));
    const php = await PhpServer.start(t, "conformance/browser/fixtures/laravel", {
      MERCURE_PUBLIC_URL: laravel.publicUrl,
      MERCURE_URL: `http://127.0.0.1:${recorder}${PATH}`,
      MERCURE_JWT_ISSUER: ISSUER,
      MERCURE_JWT_SECRET: SECRET,
      MERCURE_ENCRYPTION_KEY: Buffer.alloc(32, 7).toString("base64"),
      EXPIRES_IN: String(expiresIn),
    });
    laravel.origin = php.origin.replace("127.0.0.1", "localhost");
    for (const cluster of clusters) laravel.hubs.push(await ServedHub.start(t, configuration(laravel.publicUrl, laravel.origin) + cluster));
    return laravel;
  }

  // An event of the application, which is broadcast to its channels.
  async broadcast(channels, event, payload, socket) {
    const body = JSON.stringify({ channels, event, payload, socket });
    const answer = await fetch(`${this.origin}/broadcast`, { method: "POST", body });
    assert.equal(answer.status, 200, await answer.text());
  }

  // Opens the page of a user, in a browser's window of its own.
  async open(browser, user) {
    const page = await openPage(browser, `${this.origin}/?user=${user}`);
    await page.waitForFunction(() => window.echo);
    return page;
  }

  // Connections go to the hubs that run, in turn.
  #nextPort() {
    const running = this.hubs.filter((hub) => hub.isRunning);
    this.#next += 1;
    return running[this.#next % running.length]?.port ?? 1;
  }

  async #forward(request, answer) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    this.published.push(body.toString());
    const { authorization, "content-type": type } = request.headers;
    const forwarded = await fetch(this.publicUrl, { method: "POST", headers: { authorization, "content-type": type }, body });
    answer.writeHead(forwarded.status).end(await forwarded.text());
  }
}
