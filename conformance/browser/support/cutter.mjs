// A TCP proxy that cuts connections: what goes through it ends with a reset, as on a failing network.

import { once } from "node:events";
import { createServer, connect } from "node:net";

export class Cutter {
  cuts = 0;
  #open = new Set();
  #server;
  #refusing = false;

  // Stands before `port()` of the loopback address, and ends with the test `t`.
  static async start(t, port) {
    const cutter = new Cutter();
    cutter.#server = createServer((socket) => cutter.#onConnection(socket, port()));
    cutter.#server.listen(0, "127.0.0.1");
    await once(cutter.#server, "listening");
    t.after(() => {
      cutter.cut();
      cutter.#server.close();
    });
    return cutter;
  }

  get port() {
    return this.#server.address().port;
  }

  // Resets all connections that are open.
  cut() {
    this.cuts += 1;
    for (const socket of this.#open) socket.resetAndDestroy();
  }

  // While it refuses, every new connection is reset at once.
  refuse(refusing) {
    this.#refusing = refusing;
  }

  #onConnection(socket, port) {
    if (this.#refusing) {
      socket.resetAndDestroy();
      return;
    }
    const onward = connect(port, "127.0.0.1");
    for (const [one, other] of [[socket, onward], [onward, socket]]) {
      this.#open.add(one);
      one.on("error", () => other.destroy());
      one.on("close", () => {
        this.#open.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  }
}
