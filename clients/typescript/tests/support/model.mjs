// A model of a hub and of its network, for histories of any length: both are plain objects on one clock, and everything
// that happens comes from one seed.

import { setMaxListeners } from "node:events";
import { connect } from "../../dist/index.js";

const HUB = "https://hub.example.com/.well-known/mercure";
/** How often the hub breaks the silence. */
const KEEP_ALIVE_MS = 15_000;

/** Numbers from 0 to 1; the same seed gives the same ones (mulberry32). */
export function dice(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Lets everything run that can, without time passing. */
export async function settle() {
  for (let turn = 0; turn < 4; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

export class Clock {
  now = 0;
  #timers = new Map();
  #next = 1;

  setTimeout = (run, ms) => {
    this.#timers.set(this.#next, { at: this.now + ms, run });
    return this.#next++;
  };

  clearTimeout = (timer) => this.#timers.delete(timer);

  async pass(ms) {
    const end = this.now + ms;
    for (;;) {
      let first = null;
      for (const [timer, { at }] of this.#timers) if (at <= end && (first === null || at < this.#timers.get(first).at)) first = timer;
      if (first === null) break;
      const { at, run } = this.#timers.get(first);
      this.#timers.delete(first);
      this.now = at;
      run();
      await settle();
    }
    this.now = end;
  }
}

/**
 * A hub with one history. Ids are `EPOCH.NUMBER`; numbers grow through all epochs, so that a receiver can tell what is
 * missing. A history that is lost begins another epoch.
 */
export class Hub {
  up = true;
  epoch = 0;
  published = 0;
  /** What retention, or the loss of a history, has taken away. */
  dropped = new Set();
  /** Whether cursors may be unknown. */
  forgot = false;
  log = [];
  #topics = [];
  #unknownTo = -1;
  /** Tokens below this number have ended. */
  token = 0;
  connections = new Set();

  constructor(clock, random) {
    this.clock = clock;
    this.random = random;
    const beat = () => {
      for (const connection of this.connections) connection.beat?.();
      clock.setTimeout(beat, KEEP_ALIVE_MS);
    };
    beat();
  }

  publish(topic) {
    if (!this.up) return;
    this.published += 1;
    this.#topics[this.published] = topic;
    const update = { id: `${this.epoch}.${this.published}`, topic, data: String(this.published) };
    this.log.push(update);
    for (const connection of [...this.connections]) connection.publish(update);
  }

  /** Returns what a number was published under. */
  topicOf(number) {
    return this.#topics[number];
  }

  trim(count) {
    this.forgot = true;
    for (const { data } of this.log.splice(0, count)) this.dropped.add(Number(data));
  }

  /** Keeps its updates, but knows none of the cursors up to now any more. */
  forget() {
    this.forgot = true;
    this.#unknownTo = this.published;
  }

  lose() {
    this.trim(this.log.length);
    this.epoch += 1;
    this.cut();
  }

  kill() {
    this.up = false;
    this.cut();
  }

  expire() {
    this.token += 1;
    this.cut();
  }

  cut() {
    for (const connection of [...this.connections]) connection.cut();
  }

  get position() {
    return `${this.epoch}.${this.published}`;
  }

  /** Returns the cursor that it answers with, and what is sent at once. */
  replay(cursor, topics) {
    const retained = this.log.filter(({ topic }) => topics.has(topic));
    if (cursor === null) return { answered: this.position, updates: [] };
    const [epoch, number] = cursor.split(".").map(Number);
    const oldest = this.log.length > 0 ? Number(this.log[0].data) - 1 : this.published;
    const isKnown = cursor !== "earliest" && epoch === this.epoch && number >= oldest && number > this.#unknownTo;
    if (!isKnown) return { answered: "earliest", updates: retained };
    return { answered: cursor, updates: retained.filter(({ data }) => Number(data) > number) };
  }

  accepts(token) {
    return token === `t${this.token}`;
  }

  fetch(url, { headers, signal }) {
    return new Promise((resolve, reject) => {
      const aborted = () => reject(new DOMException("aborted", "AbortError"));
      // All polls of a connection listen to one signal.
      setMaxListeners(0, signal);
      if (signal.aborted) return aborted();
      signal.addEventListener("abort", aborted);
      setImmediate(() => {
        if (!this.up) return reject(new TypeError("network error"));
        if (!this.accepts(headers.Authorization.slice(7))) return resolve(response(401, null, "application/problem+json"));
        const cursor = headers["Last-Event-ID"] ?? url.searchParams.get("last_event_id");
        const topics = new Set(url.searchParams.getAll("match"));
        if (headers.Accept === "text/event-stream") resolve(this.#stream(cursor, topics, signal));
        else this.#poll(cursor, topics, Number(headers.Prefer.slice(5)), signal, resolve, reject);
      });
    });
  }

  #stream(cursor, topics, signal) {
    const pipe = new Pipe();
    const { answered, updates } = this.replay(cursor, topics);
    pipe.push(":\n");
    const event = ({ id, data }) => `id: ${id}\ndata: ${data}\n\n`;
    for (const update of updates) pipe.push(event(update));
    const connection = this.#hold(() => pipe.fail());
    connection.beat = () => connection.stalled || pipe.push(":\n");
    connection.publish = (update) => {
      if (connection.stalled || !topics.has(update.topic)) return;
      // An event may come in two pieces, and the connection may be lost between them.
      const text = event(update);
      const at = Math.floor(this.random() * text.length);
      pipe.push(text.slice(0, at));
      if (this.random() < 0.02) connection.cut();
      else pipe.push(text.slice(at));
    };
    signal.addEventListener("abort", () => {
      this.connections.delete(connection);
      pipe.fail();
    });
    return response(200, answered, "text/event-stream", pipe);
  }

  #poll(cursor, topics, waitSecs, signal, resolve, reject) {
    const { answered, updates } = this.replay(cursor, topics);
    const send = (updates, last) => {
      const body = { updates: updates.map(({ id, data }) => ({ id, data })), last_event_id: last };
      resolve(response(200, answered, "application/json", null, body));
    };
    if (updates.length > 0) return send(updates, updates.at(-1).id);
    const at = this.position;
    if (waitSecs === 0) return send([], at);
    const connection = this.#hold(() => reject(new TypeError("network error")));
    const timer = this.clock.setTimeout(() => {
      if (connection.stalled) return;
      this.connections.delete(connection);
      send([], this.position);
    }, waitSecs * 1000);
    connection.publish = (update) => {
      if (connection.stalled || !topics.has(update.topic)) return;
      this.clock.clearTimeout(timer);
      this.connections.delete(connection);
      send([update], update.id);
    };
    signal.addEventListener("abort", () => {
      this.clock.clearTimeout(timer);
      this.connections.delete(connection);
    });
  }

  #hold(onCut) {
    const connection = { stalled: false };
    connection.cut = () => {
      this.connections.delete(connection);
      onCut();
    };
    this.connections.add(connection);
    return connection;
  }

  /** Returns the class of its WebSockets. */
  sockets() {
    const hub = this;
    return class {
      #connection = null;
      #topics = new Set();
      #authenticated = false;
      #closed = false;

      constructor() {
        setImmediate(() => {
          if (this.#closed) return;
          if (!hub.up) return this.#end();
          this.#connection = hub.#hold(() => this.#end());
          this.#connection.publish = (update) => this.#topics.has(update.topic) && this.#update(update);
          this.#say({ open: { last_event_id: hub.position } });
        });
      }

      send(text) {
        const frame = JSON.parse(text);
        setImmediate(() => {
          if (!this.#closed && !this.#connection?.stalled) this.#onFrame(frame);
        });
      }

      close() {
        this.#closed = true;
        if (this.#connection) hub.connections.delete(this.#connection);
      }

      #onFrame({ authenticate, subscribe, unsubscribe, ping, ref }) {
        if (authenticate) this.#authenticated = hub.accepts(authenticate.token);
        else if (ping) this.#say({ pong: {} });
        else if (!this.#authenticated) this.#say({ error: { status: 401, title: "no" }, ref });
        else if (unsubscribe) for (const topic of unsubscribe.match) this.#topics.delete(topic);
        else if (subscribe) {
          const { match, last_event_id: cursor = null } = subscribe;
          const added = new Set(match.filter((topic) => !this.#topics.has(topic)));
          const { answered, updates } = hub.replay(cursor, added);
          for (const topic of added) this.#topics.add(topic);
          this.#say({ ack: { last_event_id: answered }, ref });
          for (const update of updates) this.#update(update);
          // Until then a connection that is lost resumes at the last update that came.
          setImmediate(() => this.#say({ caught_up: { last_event_id: hub.position } }));
        }
      }

      #update({ id, data }) {
        this.#say({ update: { id, data } });
      }

      #say(frame) {
        if (!this.#closed && !this.#connection?.stalled) this.onmessage({ data: JSON.stringify(frame) });
      }

      #end() {
        if (!this.#closed) this.onclose({});
        this.#closed = true;
      }
    };
  }
}

/** A tab with one connection, and what it was told. */
export class Tab {
  /** Numbers of updates, and null for each gap. */
  told = [];
  gaps = 0;
  errors = [];
  /** The number after which everything has to come: what was published when it was first connected. */
  from = null;
  online = true;
  visible = true;
  #events = new EventTarget();

  constructor(hub, browser, clock, random, options) {
    const environment = {
      random,
      now: () => 1_800_000_000_000 + clock.now,
      setTimeout: clock.setTimeout,
      clearTimeout: clock.clearTimeout,
      fetch: (url, init) => (this.online ? hub.fetch(url, init) : Promise.reject(new TypeError("network error"))),
      WebSocket: hub.sockets(),
      ...browser.parts(random),
      storage: undefined,
      events: this.#events,
      isOnline: () => this.online,
      isVisible: () => this.visible,
      isHttp1: () => false,
    };
    this.connection = connect(HUB, {
      topics: "a",
      token: async () => `t${hub.token}`,
      onUpdate: ({ data }) => this.told.push(Number(data)),
      onGap: () => {
        this.gaps += 1;
        this.told.push(null);
      },
      onError: (error) => this.errors.push(error),
      onState: (state) => {
        if (state === "open") this.from ??= hub.published;
      },
      environment,
      ...options,
    });
  }

  dispatch(type, more = {}) {
    this.#events.dispatchEvent(Object.assign(new Event(type), more));
  }
}

class Pipe {
  #pieces = [];
  #waiting = null;
  #failed = false;

  push(text) {
    if (this.#failed) return;
    this.#pieces.push(new TextEncoder().encode(text));
    this.#next();
  }

  fail() {
    this.#failed = true;
    this.#next();
  }

  getReader() {
    return {
      read: () =>
        new Promise((resolve, reject) => {
          this.#waiting = { resolve, reject };
          this.#next();
        }),
    };
  }

  #next() {
    const waiting = this.#waiting;
    if (!waiting || (this.#pieces.length === 0 && !this.#failed)) return;
    this.#waiting = null;
    if (this.#pieces.length > 0) waiting.resolve({ done: false, value: this.#pieces.shift() });
    else waiting.reject(new TypeError("network error"));
  }
}

function response(status, answered, type, body = {}, json = null) {
  const fields = { "Content-Type": type, "Mercure-Last-Event-ID": answered };
  return {
    ok: status === 200,
    status,
    headers: { get: (name) => fields[name] ?? null },
    body: body ?? {},
    text: async () => "{}",
    json: async () => json,
  };
}
