// A browser and a hub under the control of the test: the test moves the clock, and each request
// waits for the test to answer it.

import { connect } from "../../dist/index.js";

export const HUB = "https://hub.example.com/.well-known/mercure";

export class World {
  requests = [];
  sockets = [];
  told = [];
  states = [];
  gaps = [];
  errors = [];
  /** How often the hub was heard. */
  alive = 0;
  storage = new Map();
  /** What the browser reports about the network and the page. */
  online = true;
  visible = true;
  #timers = new Map();
  #now = 0;
  #next = 1;

  environment(overrides = {}) {
    const world = this;
    return {
      random: () => 1,
      now: () => 1_800_000_000_000 + world.#now,
      setTimeout: (run, ms) => {
        world.#timers.set(world.#next, { at: world.#now + ms, run });
        return world.#next++;
      },
      clearTimeout: (timer) => world.#timers.delete(timer),
      fetch: (url, init = {}) => new Promise((resolve, reject) => world.requests.push(new Request(url, init, resolve, reject))),
      WebSocket: class {
        sent = [];
        closed = false;
        constructor(url) {
          this.url = String(url);
          world.sockets.push(this);
        }
        send(text) {
          this.sent.push(JSON.parse(text));
        }
        close() {
          this.closed = true;
        }
        say(frame) {
          this.onmessage({ data: typeof frame === "string" ? frame : JSON.stringify(frame) });
        }
      },
      BroadcastChannel: undefined,
      locks: undefined,
      storage: { getItem: (key) => world.storage.get(key) ?? null, setItem: (key, value) => world.storage.set(key, value) },
      events: new EventTarget(),
      isOnline: () => world.online,
      isVisible: () => world.visible,
      isHttp1: () => false,
      ...overrides,
    };
  }

  connect(options = {}, overrides = {}) {
    const environment = this.environment(overrides);
    this.connection = connect(HUB, {
      topics: "urn:a",
      onUpdate: (update) => this.told.push(update),
      onState: (state, transport) => this.states.push(transport ? `${state} by ${transport}` : state),
      onGap: (gap) => this.gaps.push(gap.asked),
      onError: (error) => this.errors.push(error),
      onKeepAlive: () => (this.alive += 1),
      environment,
      ...options,
    });
    return environment;
  }

  /** Runs everything that can run, without advancing time. */
  async settle() {
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  }

  /** Advances time by `ms`. */
  async pass(ms) {
    const end = this.#now + ms;
    for (;;) {
      await this.settle();
      const due = [...this.#timers].filter(([, { at }]) => at <= end).sort(([, a], [, b]) => a.at - b.at)[0];
      if (!due) break;
      const [timer, { at, run }] = due;
      this.#timers.delete(timer);
      this.#now = at;
      run();
    }
    this.#now = end;
  }

  /** The latest request that waits for a response. */
  async request() {
    await this.settle();
    const request = this.requests.at(-1);
    if (!request || request.answered) throw new Error(`no request waits; states: ${this.states.join(", ")}`);
    return request;
  }

  /** Opens an event stream for the waiting request. */
  async stream(answered, first) {
    return (await this.request()).stream(answered, first);
  }

  get data() {
    return this.told.map((update) => update.data);
  }
}

class Request {
  answered = false;
  #resolve;
  #reject;

  constructor(url, init, resolve, reject) {
    this.url = new URL(url);
    this.method = init.method ?? "GET";
    this.headers = init.headers ?? {};
    this.body = init.body;
    this.credentials = init.credentials;
    this.signal = init.signal;
    this.#resolve = resolve;
    this.#reject = reject;
    init.signal?.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")));
  }

  get aborted() {
    return this.signal.aborted;
  }

  answer(status, headers, body) {
    this.answered = true;
    this.#resolve(new Response(body, { status, headers }));
  }

  fail() {
    this.answered = true;
    this.#reject(new TypeError("network error"));
  }

  refuse(status, headers = {}) {
    const problem = JSON.stringify({ type: "about:test", title: "Refused", detail: `refused with ${status}` });
    this.answer(status, { "Content-Type": "application/problem+json", ...headers }, problem);
  }

  json(updates, lastEventId, answered) {
    const headers = { "Content-Type": "application/json", ...(answered && { "Mercure-Last-Event-ID": answered }) };
    this.answer(200, headers, JSON.stringify({ updates, last_event_id: lastEventId }));
  }

  /** Sends a comment first, like the hub. */
  stream(answered, first = ":\n") {
    const pipe = new TransformStream();
    const writer = pipe.writable.getWriter();
    const encoder = new TextEncoder();
    const headers = { "Content-Type": "text/event-stream", ...(answered && { "Mercure-Last-Event-ID": answered }) };
    this.answer(200, headers, pipe.readable);
    if (first !== "") writer.write(encoder.encode(first)).catch(() => {});
    return {
      send: (bytes) => writer.write(typeof bytes === "string" ? encoder.encode(bytes) : bytes).catch(() => {}),
      event: (id, data) => writer.write(encoder.encode(`id: ${id}\ndata: ${data}\n\n`)).catch(() => {}),
      cut: () => writer.abort().catch(() => {}),
      end: () => writer.close().catch(() => {}),
    };
  }
}
