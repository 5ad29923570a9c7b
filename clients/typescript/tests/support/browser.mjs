// A browser as far as its tabs share something: locks and broadcast channels.

/** Locks and channels of one browser, shared by its tabs. */
export class Browser {
  #queues = new Map();
  #channels = new Set();

  /** What a tab finds in its browser. `random` decides whether a message takes a while. */
  parts(random = () => 1) {
    return { locks: this, BroadcastChannel: this.#channel(random) };
  }

  request(name, { signal }, hold) {
    return new Promise((resolve, reject) => {
      const queue = this.#queues.get(name) ?? [];
      this.#queues.set(name, queue);
      const turn = async () => {
        await hold();
        queue.shift();
        resolve();
        queue[0]?.();
      };
      queue.push(turn);
      signal.addEventListener("abort", () => {
        if (queue[0] === turn) return;
        queue.splice(queue.indexOf(turn), 1);
        reject(new DOMException("aborted", "AbortError"));
      });
      if (queue.length === 1) turn();
    });
  }

  #channel(random) {
    const channels = this.#channels;
    return class {
      constructor(name) {
        this.name = name;
        channels.add(this);
      }
      // What was posted arrives in order, but not at the same time in each tab.
      postMessage(data) {
        const copy = structuredClone(data);
        for (const other of channels) {
          if (other === this || other.name !== this.name) continue;
          const waiting = (other.waiting ??= []);
          waiting.push(copy);
          const deliver = () => {
            if (random() < 0.3) return setImmediate(deliver);
            const data = waiting.shift();
            if (channels.has(other)) other.onmessage({ data });
          };
          setImmediate(deliver);
        }
      }
      close() {
        channels.delete(this);
      }
    };
  }
}
