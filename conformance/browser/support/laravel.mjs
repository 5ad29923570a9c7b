// An application with Laravel's broadcasting (fixtures/laravel) before one hub or several, which one address joins.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { PhpServer } from "./broker.mjs";
import { openPage } from "./chromium.mjs";
import { Entrance } from "./cluster.mjs";
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
  ];
  for (const [from] of changes) assert.ok(toml.includes(from), `the guide has ${from}`);
  return changes.reduce((text, [from, to]) => text.replaceAll(from, to), `${toml}\n[auth]\ncookie_names = ["mercure_access_token"]\n`);
}

export class Laravel {
  origin = "";
  publicUrl = "";
  // Bodies of the requests that the driver has sent to the hub.
  published = [];
  #entrance;

  // Starts the application and its hubs: one for each text of `more`, which is added to its configuration. Pages use the
  // first one that runs, the application the last one. `expiresIn` has the seconds that the cookies of some users
  // last. Everything ends with the test `t`.
  static async start(t, { more = [""], expiresIn = {} } = {}) {
    const laravel = new Laravel();
    laravel.#entrance = await Entrance.start(t);
    laravel.publicUrl = `${laravel.#entrance.origin}${PATH}`;
    const recorder = await listen(t, createServer((request, answer) => laravel.#forward(request, answer)));
    const php = await PhpServer.start(t, "conformance/browser/fixtures/laravel", {
      MERCURE_PUBLIC_URL: laravel.publicUrl,
      MERCURE_URL: `http://127.0.0.1:${recorder}${PATH}`,
      MERCURE_JWT_ISSUER: ISSUER,
      MERCURE_JWT_SECRET: SECRET,
      MERCURE_ENCRYPTION_KEY: Buffer.alloc(32, 7).toString("base64"),
      EXPIRES_IN: JSON.stringify(expiresIn),
    });
    laravel.origin = php.origin.replace("127.0.0.1", "localhost");
    for (const text of more) laravel.hubs.push(await ServedHub.start(t, configuration(laravel.publicUrl, laravel.origin) + text));
    return laravel;
  }

  get hubs() {
    return this.#entrance.hubs;
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

  async #forward(request, answer) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    this.published.push(body.toString());
    const { authorization, "content-type": type } = request.headers;
    const forwarded = await fetch(this.hubs.at(-1).origin + PATH, { method: "POST", headers: { authorization, "content-type": type }, body });
    answer.writeHead(forwarded.status).end(await forwarded.text());
  }
}
