// A TCP proxy with the faults of a failing network: connections are reset, go silent, or lose one side.

import { once } from "node:events";
import { createServer, connect } from "node:net";

export class Cutter {
  cuts = 0;
  #open = new Set();
  #server;
  #refusing = false;
  #pairs = new Set();

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

  // Holds back everything in both directions on the connections that are open; new ones work.
  stall() {
    for (const { ends } of this.#pairs) for (const end of ends) end.pause();
  }

  // Lets the connections that are open look alive to the visitor, while the hub is told that they are gone.
  halfOpen() {
    for (const pair of this.#pairs) {
      const [visitor, onward] = pair.ends;
      pair.half = true;
      visitor.unpipe(onward);
      onward.unpipe(visitor);
      visitor.resume();
      onward.resetAndDestroy();
    }
  }

  #onConnection(socket, port) {
    if (this.#refusing) {
      socket.resetAndDestroy();
      return;
    }
    const onward = connect(port, "127.0.0.1");
    const pair = { ends: [socket, onward], half: false };
    this.#pairs.add(pair);
    for (const [one, other] of [[socket, onward], [onward, socket]]) {
      this.#open.add(one);
      const end = () => {
        if (!pair.half || one === socket) other.destroy();
      };
      one.on("error", end);
      one.on("close", () => {
        this.#open.delete(one);
        if (one === socket) this.#pairs.delete(pair);
        end();
      });
      one.pipe(other);
    }
  }
}
