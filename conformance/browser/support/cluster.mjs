// A Redis server with hubs that it makes one, and the one address before them.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Cutter } from "./cutter.mjs";
import { START_MS_MAX, until } from "./hub.mjs";
import { freePort } from "./ports.mjs";

// Starts Redis in a folder of its own; both end with the test `t`. Returns the lines that join a hub to its cluster.
export async function startRedis(t) {
  const folder = await mkdtemp(join(tmpdir(), "tidings-redis-"));
  const port = await freePort();
  const options = ["--bind", "127.0.0.1", "--port", String(port), "--dir", folder, "--appendonly", "yes", "--save", ""];
  const child = spawn("redis-server", options, { stdio: "ignore" });
  t.after(async () => {
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
    await rm(folder, { recursive: true, force: true });
  });
  await once(child, "spawn");
  await until(() => answers(port), "Redis", START_MS_MAX);
  return (node) => `[cluster]\nengine = "redis"\nurl = "redis://127.0.0.1:${port}"\nname = "browser"\nnode = "${node}"\n`;
}

async function answers(port) {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    socket.write("PING\r\n");
    const [answer] = await once(socket, "data");
    return answer.toString().startsWith("+PONG");
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

// One address for several hubs, as a load balancer gives: connections go to the first one that runs.
export class Entrance {
  hubs = [];
  #cutter;

  // Ends with the test `t`.
  static async start(t) {
    const entrance = new Entrance();
    // Port 1 refuses: nobody runs.
    entrance.#cutter = await Cutter.start(t, () => entrance.hubs.find((hub) => hub.isRunning)?.port ?? 1);
    return entrance;
  }

  get origin() {
    return `http://localhost:${this.#cutter.port}`;
  }
}
