// Starts `tidings broker`, and PHP's own web server for an application that uses it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { BINARY, until } from "./hub.mjs";
import { freePort } from "./ports.mjs";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const START_MS_MAX = 30000;

export class Broker {
  // Addresses of its PULL and PUB sockets, and of its metrics.
  pull = "";
  pub = "";
  metrics = "";

  // Ends with the test `t`.
  static async start(t) {
    const sources = ["--pull", "zmq-bind://PULL@127.0.0.1:0", "--pub", "zmq-bind://PUB@127.0.0.1:0"];
    const child = spawn(BINARY, ["broker", ...sources, "--metrics", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "inherit"] });
    t.after(() => child.kill("SIGKILL"));
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text) => (output += text));
    await until(() => output.includes("Stop it"), () => `the broker; it wrote: ${output}`, START_MS_MAX);
    const broker = new Broker();
    broker.pull = /PULL@(\S+)/.exec(output)[1];
    broker.pub = /PUB@(\S+)/.exec(output)[1];
    broker.metrics = /metrics +(\S+)/.exec(output)[1];
    return broker;
  }

  // Waits until subscribers have asked for so much.
  async subscriptions(count) {
    const asked = async () => /^tidings_zeromq_subscriptions (\d+)$/m.exec(await (await fetch(this.metrics)).text())[1];
    await until(async () => Number(await asked()) >= count, `${count} subscriptions`);
  }
}

export class PhpServer {
  origin = "";

  // Serves the folder's `www` with these variables; ends with the test `t`.
  static async start(t, folder, variables) {
    const port = await freePort();
    const server = new PhpServer();
    server.origin = `http://127.0.0.1:${port}`;
    const child = spawn("php", ["-S", `127.0.0.1:${port}`, "-t", "www", "www/index.php"], {
      cwd: ROOT + folder,
      env: { ...process.env, PHP_CLI_SERVER_WORKERS: "8", ...variables },
      stdio: "ignore",
      detached: true,
    });
    // The workers are processes of their own.
    t.after(() => process.kill(-child.pid, "SIGKILL"));
    const up = () => fetch(server.origin).then((answer) => answer.ok, () => false);
    await until(up, "PHP's web server", START_MS_MAX);
    assert.equal(child.exitCode, null);
    return server;
  }
}
