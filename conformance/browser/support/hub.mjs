// Starts the real hub, as `tidings dev` with its own data folder, and publishes to it as an application would.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const BINARY = process.env.TIDINGS_BIN ?? fileURLToPath(new URL("../../../target/debug/tidings", import.meta.url));
/** The services of SockJS's own tests, which are built with the hub. */
export const TEST_SERVER = join(dirname(BINARY), "tidings-test-server");
export const START_MS_MAX = 30000;

export class Hub {
  port = 0;
  dataDir;
  #child = null;
  #output = "";
  #token = null;

  // Ends with the test `t`. Keeps its data in `dataDir`, or else in a new folder that ends with it.
  static async start(t, dataDir) {
    assert.ok(existsSync(BINARY), `there is no hub at ${BINARY}: build it with "cargo build", or set TIDINGS_BIN`);
    const hub = new Hub();
    hub.dataDir = dataDir ?? (await mkdtemp(join(tmpdir(), "tidings-browser-")));
    t.after(() => hub.close());
    await hub.run();
    return hub;
  }

  get origin() {
    return `http://localhost:${this.port}`;
  }

  // What it has written, of late.
  get output() {
    return this.#output;
  }

  // Waits until somebody subscribes.
  async subscribers(count) {
    const metrics = async () => (await fetch(`${this.origin}/metrics`)).text();
    const subscribers = async () => Number(/^tidings_subscribers (\d+)$/m.exec(await metrics())[1]);
    await until(async () => (await subscribers()) === count, `${count} subscribers`);
  }

  // Starts the process; after a kill on the same port and data folder.
  async run() {
    this.#output = "";
    const child = spawn(BINARY, ["dev", "--listen", `127.0.0.1:${this.port}`, "--data", this.dataDir], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => (this.#output = (this.#output + text).slice(-20000)));
    }
    const address = () => /http:\/\/localhost:(\d+)/.exec(this.#output);
    await until(() => address() || child.exitCode !== null, () => `the hub's address; it wrote: ${this.#output}`, START_MS_MAX);
    assert.equal(child.exitCode, null, `the hub ended at once: ${this.#output}`);
    this.port = Number(address()[1]);
    this.#token = null;
  }

  // Ends the process as a crash would.
  async kill() {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  }

  async close() {
    await this.kill();
    await rm(this.dataDir, { recursive: true, force: true });
  }

  async token() {
    this.#token ??= (await (await fetch(`${this.origin}/settings.json`)).json()).publisher_token;
    return this.#token;
  }

  // Publishes, and returns the event id.
  async publish(topic, data, more = {}) {
    const body = new URLSearchParams({ topic, data: typeof data === "string" ? data : JSON.stringify(data), ...more });
    const headers = { Authorization: `Bearer ${await this.token()}` };
    const answer = await fetch(`${this.origin}/.well-known/mercure`, { method: "POST", headers, body });
    const text = await answer.text();
    assert.equal(answer.status, 200, text);
    return text;
  }

  async say(from, text) {
    const answer = await fetch(`${this.origin}/message/broadcast`, { method: "POST", body: new URLSearchParams({ from, text }) });
    assert.equal(await answer.text(), "true");
  }
}

// Waits until `condition` holds: it is asked again and again, up to a deadline.
export async function until(condition, what, msMax = 20000) {
  const deadline = performance.now() + msMax;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (performance.now() > deadline) assert.fail(`waited ${msMax} ms for ${typeof what === "function" ? what() : what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

// The complete state of a match with these goals of the home team.
export function matchState(id, goals, more = {}) {
  return {
    id,
    home: `Home ${id}`,
    away: `Away ${id}`,
    score: [goals.length, 0],
    minute: goals.length,
    phase: "first half",
    goals: goals.map((player, at) => ({ minute: at + 1, team: "home", player })),
    ...more,
  };
}
