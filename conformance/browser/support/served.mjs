// Starts the real hub as `tidings serve`, with a configuration of the test's own.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BINARY, START_MS_MAX, until } from "./hub.mjs";

export class ServedHub {
  port = 0;
  #adminPort = 0;
  #folder;
  #toml;
  #admin = "";
  #wanted = 0; // the port that it asks for: none in particular before its first start
  #child = null;
  #output = "";

  // Ends with the test `t`. A listener on a free port and a data folder are added to the configuration, and what
  // `admin` has to its table of operators.
  static async start(t, toml, admin = "") {
    const hub = new ServedHub();
    hub.#toml = toml;
    hub.#admin = admin;
    hub.#folder = await mkdtemp(join(tmpdir(), "tidings-served-"));
    t.after(() => hub.close());
    await hub.run();
    return hub;
  }

  get origin() {
    return `http://localhost:${this.port}`;
  }

  // Where operators find it.
  get adminOrigin() {
    return `http://localhost:${this.#adminPort}`;
  }

  get isRunning() {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  get log() {
    return this.#output;
  }

  // Starts the process; after a kill on the same port and data folder.
  async run() {
    this.#output = "";
    this.#wanted = this.port;
    await this.configure(this.#toml);
    const child = spawn(BINARY, ["serve", "--config", this.#config], { stdio: ["ignore", "pipe", "pipe"], env: {} });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => (this.#output += text));
    }
    const port = (isAdmin) => new RegExp(`"address":"127\\.0\\.0\\.1:(\\d+)"[^\\n]*"admin":${isAdmin}`).exec(this.#output)?.[1];
    await until(() => this.#output.includes('"ready"') || child.exitCode !== null, () => `the hub's address; it wrote: ${this.#output}`, START_MS_MAX);
    assert.equal(child.exitCode, null, `the hub ended at once: ${this.#output}`);
    this.port = Number(port(false));
    this.#adminPort = Number(port(true));
  }

  get #config() {
    return join(this.#folder, "tidings.toml");
  }

  // Writes the configuration, which the next start or reload reads.
  async configure(toml) {
    const data = JSON.stringify(join(this.#folder, "data"));
    const more = `[[listen]]\naddress = "127.0.0.1:${this.#wanted}"\n[admin]\naddress = "127.0.0.1:0"\n${this.#admin}\n[data]\ndir = ${data}\n[log]\nformat = "json"\n`;
    await writeFile(this.#config, `${toml}\n${more}`);
  }

  // Returns the value of a metric without labels.
  async metric(name) {
    const text = await (await fetch(`http://127.0.0.1:${this.#adminPort}/metrics`)).text();
    return Number(new RegExp(`^${name} (\\d+)$`, "m").exec(text)[1]);
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
    await rm(this.#folder, { recursive: true, force: true });
  }

  // Publishes, and returns the event id.
  async publish(path, token, fields) {
    const headers = { Authorization: `Bearer ${token}` };
    const answer = await fetch(`${this.origin}${path}`, { method: "POST", headers, body: new URLSearchParams(fields) });
    const text = await answer.text();
    assert.equal(answer.status, 200, text);
    return text;
  }
}
