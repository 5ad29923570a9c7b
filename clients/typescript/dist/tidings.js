var __typeError = (msg) => {
  throw TypeError(msg);
};
var __accessCheck = (obj, member, msg) => member.has(obj) || __typeError("Cannot " + msg);
var __privateGet = (obj, member, getter) => (__accessCheck(obj, member, "read from private field"), getter ? getter.call(obj) : member.get(obj));
var __privateAdd = (obj, member, value) => member.has(obj) ? __typeError("Cannot add the same private member more than once") : member instanceof WeakSet ? member.add(obj) : member.set(obj, value);
var __privateSet = (obj, member, value, setter) => (__accessCheck(obj, member, "write to private field"), setter ? setter.call(obj, value) : member.set(obj, value), value);
var __privateMethod = (obj, member, method) => (__accessCheck(obj, member, "access private method"), method);
var __privateWrapper = (obj, member, setter, getter) => ({
  set _(value) {
    __privateSet(obj, member, value, setter);
  },
  get _() {
    return __privateGet(obj, member, getter);
  }
});

// src/backoff.ts
var FIRST_MS = 500;
var LONGEST_MS = 3e4;
var ASKED_MS_MAX = 5 * 6e4;
var _failures, _firstMs, _random;
var Backoff = class {
  constructor(random) {
    __privateAdd(this, _failures, 0);
    __privateAdd(this, _firstMs, FIRST_MS);
    __privateAdd(this, _random);
    __privateSet(this, _random, random);
  }
  /** Takes what the hub asks for as the shortest pause (`retry` of an event stream). */
  asked(ms) {
    __privateSet(this, _firstMs, Math.min(Math.max(ms, 1), ASKED_MS_MAX));
  }
  /** Begins anew: the connection works. */
  reset() {
    __privateSet(this, _failures, 0);
  }
  /** Returns the next pause in milliseconds; at least `atLeastMs`, which a refusal may ask for. */
  next(atLeastMs = 0) {
    const longest = Math.max(LONGEST_MS, __privateGet(this, _firstMs));
    const ceiling = Math.min(__privateGet(this, _firstMs) * 2 ** Math.min(__privateGet(this, _failures), 16), longest);
    __privateSet(this, _failures, __privateGet(this, _failures) + 1);
    const spread = ceiling / 2 + ceiling / 2 * __privateGet(this, _random).call(this);
    return Math.min(ASKED_MS_MAX, Math.max(atLeastMs * (1 + __privateGet(this, _random).call(this) / 4), spread));
  }
};
_failures = new WeakMap();
_firstMs = new WeakMap();
_random = new WeakMap();

// src/choice.ts
var KEY = "tidings.transport";
var REMEMBERED_MS = 24 * 60 * 60 * 1e3;
var ROUNDS_MAX = 3;
var _names, _environment, _key, _unfit, _lost, _suspect, _rounds, _current, _Choice_instances, begin_fn, pick_fn, remembered_fn, remember_fn;
var Choice = class {
  constructor(names, origin, environment) {
    __privateAdd(this, _Choice_instances);
    __privateAdd(this, _names);
    __privateAdd(this, _environment);
    __privateAdd(this, _key);
    /** What does not pass through this network. */
    __privateAdd(this, _unfit, /* @__PURE__ */ new Set());
    /** What was lost in this round. */
    __privateAdd(this, _lost, /* @__PURE__ */ new Set());
    /** Whether one of this round did not pass: then the network is there, and the others were not lost by chance. */
    __privateAdd(this, _suspect, false);
    __privateAdd(this, _rounds, 0);
    __privateAdd(this, _current);
    __privateSet(this, _names, names);
    __privateSet(this, _environment, environment);
    __privateSet(this, _key, `${KEY} ${origin}`);
    const worked = names.findIndex((name) => name === __privateMethod(this, _Choice_instances, remembered_fn).call(this));
    for (const name of names.slice(0, Math.max(worked, 0))) __privateGet(this, _unfit).add(name);
    __privateSet(this, _current, __privateMethod(this, _Choice_instances, pick_fn).call(this));
  }
  /** The transport that is used, or tried now. */
  get current() {
    return __privateGet(this, _current);
  }
  /** Goes on to the next one; returns whether all were tried. */
  next(why) {
    if (why === "unfit") __privateSet(this, _suspect, true);
    (why === "unfit" ? __privateGet(this, _unfit) : __privateGet(this, _lost)).add(__privateGet(this, _current));
    const exhausted = __privateMethod(this, _Choice_instances, pick_fn).call(this) === void 0;
    if (exhausted) {
      __privateMethod(this, _Choice_instances, begin_fn).call(this);
      __privateSet(this, _rounds, __privateGet(this, _rounds) + 1);
      if (__privateGet(this, _rounds) >= ROUNDS_MAX || __privateMethod(this, _Choice_instances, pick_fn).call(this) === void 0) {
        __privateGet(this, _unfit).clear();
        __privateSet(this, _rounds, 0);
      }
    }
    __privateSet(this, _current, __privateMethod(this, _Choice_instances, pick_fn).call(this));
    return exhausted;
  }
  /** The current one works. */
  keep() {
    if (__privateGet(this, _lost).size === 0 || __privateGet(this, _suspect)) __privateMethod(this, _Choice_instances, remember_fn).call(this, __privateGet(this, _current));
    __privateMethod(this, _Choice_instances, begin_fn).call(this);
    __privateSet(this, _rounds, 0);
  }
  /** The current one worked and was cut: the first that passes is tried again. */
  restart() {
    __privateSet(this, _current, __privateMethod(this, _Choice_instances, pick_fn).call(this));
  }
};
_names = new WeakMap();
_environment = new WeakMap();
_key = new WeakMap();
_unfit = new WeakMap();
_lost = new WeakMap();
_suspect = new WeakMap();
_rounds = new WeakMap();
_current = new WeakMap();
_Choice_instances = new WeakSet();
begin_fn = function() {
  __privateGet(this, _lost).clear();
  __privateSet(this, _suspect, false);
};
pick_fn = function() {
  return __privateGet(this, _names).find((name) => !__privateGet(this, _unfit).has(name) && !__privateGet(this, _lost).has(name));
};
remembered_fn = function() {
  try {
    const [name, time] = __privateGet(this, _environment).storage?.getItem(__privateGet(this, _key))?.split(" ") ?? [];
    const age = __privateGet(this, _environment).now() - Number(time);
    return name !== void 0 && age >= 0 && age < REMEMBERED_MS ? name : null;
  } catch {
    return null;
  }
};
remember_fn = function(name) {
  if (__privateMethod(this, _Choice_instances, remembered_fn).call(this) === name) return;
  try {
    __privateGet(this, _environment).storage?.setItem(__privateGet(this, _key), `${name} ${__privateGet(this, _environment).now()}`);
  } catch {
  }
};

// src/event-parser.ts
var EVENT_LENGTH_MAX = 16 * 1024 * 1024;
var _rest, _data, _lines, _length, _type, _id, _first, _onEvent, _onRetry, _EventParser_instances, onLine_fn, dispatch_fn;
var EventParser = class {
  constructor(id, wire, onEvent, onRetry) {
    __privateAdd(this, _EventParser_instances);
    __privateAdd(this, _rest, "");
    __privateAdd(this, _data, []);
    __privateAdd(this, _lines);
    __privateAdd(this, _length, 0);
    __privateAdd(this, _type, "");
    __privateAdd(this, _id);
    __privateAdd(this, _first, true);
    __privateAdd(this, _onEvent);
    __privateAdd(this, _onRetry);
    __privateSet(this, _lines, wire ? [] : null);
    __privateSet(this, _id, id);
    __privateSet(this, _onEvent, onEvent);
    __privateSet(this, _onRetry, onRetry);
  }
  /** Takes the next piece. Throws if an event is too long. */
  push(piece) {
    let text = __privateGet(this, _rest) + piece;
    if (__privateGet(this, _first) && text !== "") {
      __privateSet(this, _first, false);
      if (text.startsWith("\uFEFF")) text = text.slice(1);
    }
    let from = 0;
    const lineEnd = /\r\n|\n|\r/g;
    for (let end = lineEnd.exec(text); end !== null; end = lineEnd.exec(text)) {
      if (end[0] === "\r" && lineEnd.lastIndex === text.length) break;
      __privateMethod(this, _EventParser_instances, onLine_fn).call(this, text.slice(from, end.index));
      from = lineEnd.lastIndex;
    }
    __privateSet(this, _rest, text.slice(from));
    if (__privateGet(this, _length) + __privateGet(this, _rest).length > EVENT_LENGTH_MAX) throw new Error("an event is too long");
  }
};
_rest = new WeakMap();
_data = new WeakMap();
_lines = new WeakMap();
_length = new WeakMap();
_type = new WeakMap();
_id = new WeakMap();
_first = new WeakMap();
_onEvent = new WeakMap();
_onRetry = new WeakMap();
_EventParser_instances = new WeakSet();
onLine_fn = function(line) {
  if (line === "") return __privateMethod(this, _EventParser_instances, dispatch_fn).call(this);
  const colon = line.indexOf(":");
  if (colon === 0) return;
  __privateGet(this, _lines)?.push(line);
  const field = colon < 0 ? line : line.slice(0, colon);
  let value = colon < 0 ? "" : line.slice(colon + 1);
  if (value.startsWith(" ")) value = value.slice(1);
  if (field === "data") {
    __privateGet(this, _data).push(value);
    __privateSet(this, _length, __privateGet(this, _length) + value.length);
  } else if (field === "event") __privateSet(this, _type, value);
  else if (field === "id" && !value.includes("\0")) __privateSet(this, _id, value);
  else if (field === "retry" && /^\d+$/.test(value)) __privateGet(this, _onRetry).call(this, Number(value));
};
dispatch_fn = function() {
  const data = __privateGet(this, _data);
  const type = __privateGet(this, _type);
  __privateSet(this, _data, []);
  __privateSet(this, _length, 0);
  __privateSet(this, _type, "");
  const wire = __privateGet(this, _lines)?.splice(0).join("\n");
  if (data.length === 0) return;
  __privateGet(this, _onEvent).call(this, { id: __privateGet(this, _id), type: type || "message", data: data.join("\n"), ...wire !== void 0 && { wire } });
};

// src/types.ts
var HubError = class extends Error {
  constructor(status, type, title, detail, retryAfterMs = null) {
    super(detail);
    this.status = status;
    this.type = type;
    this.title = title;
    this.retryAfterMs = retryAfterMs;
    this.name = "HubError";
  }
};
function browser() {
  const scope = globalThis;
  return {
    fetch: (input, init) => scope.fetch(input, init),
    WebSocket: scope.WebSocket,
    BroadcastChannel: scope.BroadcastChannel,
    locks: scope.navigator?.locks,
    storage: storage(),
    random: Math.random,
    now: Date.now,
    setTimeout: (run, ms) => scope.setTimeout(run, ms),
    clearTimeout: (timer) => scope.clearTimeout(timer),
    events: typeof scope.addEventListener === "function" ? scope : void 0
  };
}
function storage() {
  try {
    return globalThis.localStorage;
  } catch {
    return void 0;
  }
}

// src/problem.ts
async function readProblem(answer) {
  let document = {};
  try {
    document = JSON.parse(await answer.text());
  } catch {
  }
  return problem(answer.status, document, retryAfter(answer));
}
function problem(status, document, retryAfterMs) {
  const { type, title, detail } = document ?? {};
  const texts = [detail, title].filter((text2) => typeof text2 === "string" && text2 !== "");
  const text = texts[0] ?? `the hub answered ${status}`;
  return new HubError(status, typeof type === "string" ? type : "", typeof title === "string" ? title : "", text, retryAfterMs);
}
function isPassing(status) {
  return status === 408 || status === 429 || status >= 500;
}
function retryAfter(answer) {
  const seconds = Number(answer.headers.get("Retry-After") ?? Number.NaN);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds * 1e3 : null;
}

// src/transport.ts
function subscriptionUrl(attempt) {
  const url = new URL(attempt.url);
  for (const topic of attempt.topics) url.searchParams.append("match", topic);
  for (const pattern of attempt.patterns) url.searchParams.append("match_urlpattern", pattern);
  return url;
}
function requestHeaders(attempt, url, accept) {
  const headers = { Accept: accept };
  if (attempt.token !== null) headers["Authorization"] = `Bearer ${attempt.token}`;
  if (attempt.cursor !== null) {
    if (/^[\x21-\x7e]+$/.test(attempt.cursor)) headers["Last-Event-ID"] = attempt.cursor;
    else url.searchParams.set("last_event_id", attempt.cursor);
  }
  return headers;
}
function answeredCursor(answer) {
  const field = answer.headers.get("Mercure-Last-Event-ID");
  if (field === null || /^[\x00-\x7f]*$/.test(field)) return field;
  try {
    const bytes = Uint8Array.from(field, (character) => character.charCodeAt(0));
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return field;
  }
}
function silence(attempt, onSilence) {
  const { environment, silenceMs } = attempt;
  let timer;
  const stop = () => environment.clearTimeout(timer);
  const heard = () => {
    stop();
    if (silenceMs > 0) timer = environment.setTimeout(onSilence, silenceMs);
  };
  heard();
  return { heard, stop };
}

// src/event-stream.ts
var EVENT_STREAM = "text/event-stream";
function eventStream(attempt, receiver) {
  const abort = new AbortController();
  let done = false;
  const end = (ending) => {
    if (done) return;
    done = true;
    watch.stop();
    abort.abort();
    receiver.ended(ending);
  };
  const watch = silence(attempt, () => end({ kind: "lost" }));
  const read = async () => {
    const url = subscriptionUrl(attempt);
    const headers = requestHeaders(attempt, url, EVENT_STREAM);
    const answer = await attempt.environment.fetch(url, {
      headers,
      signal: abort.signal,
      cache: "no-store",
      credentials: attempt.credentials
    });
    if (!answer.ok) return end({ kind: "refused", error: await readProblem(answer) });
    if (!answer.headers.get("Content-Type")?.startsWith(EVENT_STREAM)) return end({ kind: "unfit" });
    if (!answer.body) return end({ kind: "unfit" });
    if (done) return;
    await readBody(answer.body, answeredCursor(answer));
    end({ kind: "lost" });
  };
  const readBody = async (body, answered) => {
    let opened = false;
    const parser = new EventParser(
      attempt.cursor ?? "",
      attempt.wire,
      (event) => {
        if (!done) receiver.update(event);
      },
      (ms) => receiver.retry(ms)
    );
    const decoder = new TextDecoder();
    const reader = body.getReader();
    for (; ; ) {
      const piece = await reader.read();
      if (piece.done || done) return;
      watch.heard();
      if (!opened) receiver.opened(answered);
      opened = true;
      parser.push(decoder.decode(piece.value, { stream: true }));
    }
  };
  read().catch(() => end({ kind: "lost" }));
  return () => {
    done = true;
    watch.stop();
    abort.abort();
  };
}

// src/long-poll.ts
var JSON_TYPE = "application/json";
var WAIT_SECS_MAX = 25;
function longPoll(attempt, receiver) {
  const abort = new AbortController();
  let done = false;
  let cursor = attempt.cursor;
  let first = true;
  const end = (ending) => {
    if (done) return;
    done = true;
    watch.stop();
    abort.abort();
    receiver.ended(ending);
  };
  const watch = silence(attempt, () => end({ kind: "lost" }));
  const ask = async (waitSecs) => {
    const url = subscriptionUrl(attempt);
    const headers = requestHeaders({ ...attempt, cursor }, url, JSON_TYPE);
    headers["Prefer"] = `wait=${waitSecs}`;
    const answer = await attempt.environment.fetch(url, {
      headers,
      signal: abort.signal,
      cache: "no-store",
      credentials: attempt.credentials
    });
    if (!answer.ok) {
      end({ kind: "refused", error: await readProblem(answer) });
      return false;
    }
    if (!answer.headers.get("Content-Type")?.startsWith(JSON_TYPE)) {
      end({ kind: "unfit" });
      return false;
    }
    return onAnswer(answeredCursor(answer), await answer.json());
  };
  const onAnswer = (answered, { updates, last_event_id }) => {
    if (done) return false;
    watch.heard();
    if (first || answered !== cursor) receiver.opened(answered);
    first = false;
    for (const update of updates) {
      if (done) return true;
      const { id, type, data, topics } = update;
      const wire = attempt.wire && { wire: JSON.stringify(update) };
      receiver.update({ id, type: type ?? "message", data, ...topics && { topics }, ...wire });
    }
    cursor = last_event_id;
    receiver.cursor(last_event_id);
    return updates.length > 0;
  };
  const run = async () => {
    await ask(0);
    const waitSecs = Math.min(WAIT_SECS_MAX, Math.max(1, Math.floor(attempt.silenceMs / 2e3) || WAIT_SECS_MAX));
    while (!done) {
      let waited = false;
      const timer = attempt.environment.setTimeout(() => waited = true, waitSecs * 500);
      const came = await ask(waitSecs);
      attempt.environment.clearTimeout(timer);
      if (!came && !waited) end({ kind: "lost" });
    }
  };
  run().catch(() => end({ kind: "lost" }));
  return () => {
    done = true;
    watch.stop();
    abort.abort();
  };
}

// src/websocket.ts
var SUBSCRIBE = "subscribe";
function webSocket(attempt, receiver) {
  const { environment } = attempt;
  if (!environment.WebSocket) {
    const timer = environment.setTimeout(() => receiver.ended({ kind: "unfit" }), 0);
    return () => environment.clearTimeout(timer);
  }
  const url = new URL(attempt.url);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const socket = new environment.WebSocket(url);
  let done = false;
  let asked = false;
  const stop = () => {
    done = true;
    watch.stop();
    socket.close();
  };
  const end = (ending) => {
    if (done) return;
    stop();
    receiver.ended(ending);
  };
  const send = (frame) => socket.send(JSON.stringify(frame));
  let pinged = false;
  const half = { ...attempt, silenceMs: attempt.silenceMs / 2 };
  const watch = silence(half, () => {
    if (pinged || !asked) return end({ kind: "lost" });
    pinged = true;
    send({ ping: {} });
    watch.heard();
  });
  const onFrame = (frame, wire) => {
    if (frame.open) {
      if (attempt.token !== null) send({ authenticate: { token: attempt.token } });
      const subscribe = {};
      if (attempt.topics.length > 0) subscribe["match"] = attempt.topics;
      if (attempt.patterns.length > 0) subscribe["match_urlpattern"] = attempt.patterns;
      if (attempt.cursor !== null) subscribe["last_event_id"] = attempt.cursor;
      send({ subscribe, ref: SUBSCRIBE });
      asked = true;
    } else if (frame.update) {
      const { id, type, data, topics } = frame.update;
      receiver.update({ id, type: type ?? "message", data, ...topics && { topics }, ...attempt.wire && { wire } });
    } else if (frame.ack && frame.ref === SUBSCRIBE) {
      receiver.opened(frame.ack.last_event_id ?? null);
    } else if (frame.caught_up) {
      receiver.cursor(frame.caught_up.last_event_id);
    } else if (frame.error) {
      end({ kind: "refused", error: problem(frame.error.status ?? 500, frame.error, null) });
    }
  };
  socket.onmessage = ({ data }) => {
    if (done) return;
    pinged = false;
    watch.heard();
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      return end({ kind: "unfit" });
    }
    onFrame(frame, data);
  };
  socket.onerror = () => end({ kind: "lost" });
  socket.onclose = () => end({ kind: "lost" });
  return stop;
}

// src/connection.ts
var TRANSPORTS = {
  "event-stream": eventStream,
  websocket: webSocket,
  "long-poll": longPoll
};
var ORDER = ["event-stream", "websocket", "long-poll"];
var OPEN_MS_MAX = 8e3;
var STEADY_MS = 1e4;
var SILENCE_SECS = 45;
var RECENT_MAX = 1024;
var EARLIEST = "earliest";
var _url, _options, _listener, _environment2, _backoff, _choice, _close, _timer, _steady, _number, _renewed, _recent, _repeats, _hurry, _Link_instances, drop_fn, enter_fn, connect_fn, open_fn, attempt_fn, onOpened_fn, onUpdate_fn, onEnd_fn, onRefusal_fn, wait_fn;
var Link = class {
  constructor(url, options, listener, environment) {
    __privateAdd(this, _Link_instances);
    this.state = "connecting";
    __privateAdd(this, _url);
    __privateAdd(this, _options);
    __privateAdd(this, _listener);
    __privateAdd(this, _environment2);
    __privateAdd(this, _backoff);
    __privateAdd(this, _choice);
    __privateAdd(this, _close, null);
    __privateAdd(this, _timer);
    __privateAdd(this, _steady);
    /** Counts connections: what belongs to an earlier one is not heard any more. */
    __privateAdd(this, _number, 0);
    /** Whether the token was fetched anew since the hub last took one. */
    __privateAdd(this, _renewed, false);
    __privateAdd(this, _recent, /* @__PURE__ */ new Set());
    /** Whether what the hub sends may hold updates that came before. */
    __privateAdd(this, _repeats, false);
    /** A page that is back, or a network: no reason to wait any longer. */
    __privateAdd(this, _hurry, () => {
      if (this.state !== "waiting") return;
      __privateGet(this, _environment2).clearTimeout(__privateGet(this, _timer));
      __privateMethod(this, _Link_instances, enter_fn).call(this, "connecting");
      void __privateMethod(this, _Link_instances, connect_fn).call(this);
    });
    __privateSet(this, _url, url);
    __privateSet(this, _options, options);
    __privateSet(this, _listener, listener);
    __privateSet(this, _environment2, environment);
    this.cursor = options.lastEventId ?? null;
    __privateSet(this, _backoff, new Backoff(environment.random));
    const names = options.transports?.length ? options.transports : ORDER;
    __privateSet(this, _choice, new Choice(names, url.origin, environment));
    environment.events?.addEventListener("online", __privateGet(this, _hurry));
    environment.events?.addEventListener("pageshow", __privateGet(this, _hurry));
  }
  get transport() {
    return this.state === "open" ? __privateGet(this, _choice).current : null;
  }
  /** Connects; once. */
  start() {
    __privateMethod(this, _Link_instances, enter_fn).call(this, "connecting");
    void __privateMethod(this, _Link_instances, connect_fn).call(this);
  }
  /** Ends it for good. */
  close() {
    __privateMethod(this, _Link_instances, drop_fn).call(this);
    __privateGet(this, _environment2).events?.removeEventListener("online", __privateGet(this, _hurry));
    __privateGet(this, _environment2).events?.removeEventListener("pageshow", __privateGet(this, _hurry));
    __privateMethod(this, _Link_instances, enter_fn).call(this, "closed");
  }
};
_url = new WeakMap();
_options = new WeakMap();
_listener = new WeakMap();
_environment2 = new WeakMap();
_backoff = new WeakMap();
_choice = new WeakMap();
_close = new WeakMap();
_timer = new WeakMap();
_steady = new WeakMap();
_number = new WeakMap();
_renewed = new WeakMap();
_recent = new WeakMap();
_repeats = new WeakMap();
_hurry = new WeakMap();
_Link_instances = new WeakSet();
drop_fn = function() {
  var _a;
  __privateSet(this, _number, __privateGet(this, _number) + 1);
  __privateGet(this, _environment2).clearTimeout(__privateGet(this, _timer));
  __privateGet(this, _environment2).clearTimeout(__privateGet(this, _steady));
  (_a = __privateGet(this, _close)) == null ? void 0 : _a.call(this);
  __privateSet(this, _close, null);
};
enter_fn = function(state) {
  if (this.state === state && state !== "connecting") return;
  this.state = state;
  __privateGet(this, _listener).onState(state, this.transport);
};
connect_fn = async function() {
  const number = ++__privateWrapper(this, _number)._;
  let token;
  try {
    const { token: source } = __privateGet(this, _options);
    token = (typeof source === "function" ? await source() : source) ?? null;
  } catch (error) {
    if (number !== __privateGet(this, _number)) return;
    __privateGet(this, _listener).onError(new HubError(0, "", "No token", `no token: ${error instanceof Error ? error.message : error}`));
    return __privateMethod(this, _Link_instances, wait_fn).call(this, 0);
  }
  if (number !== __privateGet(this, _number)) return;
  __privateMethod(this, _Link_instances, open_fn).call(this, number, token);
};
open_fn = function(number, token) {
  const attempt = __privateMethod(this, _Link_instances, attempt_fn).call(this, token);
  const isCurrent = () => number === __privateGet(this, _number);
  let opened = false;
  __privateSet(this, _timer, __privateGet(this, _environment2).setTimeout(() => {
    if (isCurrent() && !opened) __privateMethod(this, _Link_instances, onEnd_fn).call(this, { kind: "unfit" }, false);
  }, OPEN_MS_MAX));
  __privateSet(this, _close, TRANSPORTS[__privateGet(this, _choice).current](attempt, {
    opened: (answered) => {
      if (!isCurrent()) return;
      opened = true;
      __privateMethod(this, _Link_instances, onOpened_fn).call(this, answered);
    },
    update: (update) => {
      if (isCurrent()) __privateMethod(this, _Link_instances, onUpdate_fn).call(this, update);
    },
    cursor: (id) => {
      if (!isCurrent()) return;
      this.cursor = id;
      __privateGet(this, _listener).onCursor(id);
    },
    retry: (ms) => __privateGet(this, _backoff).asked(ms),
    ended: (ending) => {
      if (isCurrent()) __privateMethod(this, _Link_instances, onEnd_fn).call(this, ending, opened);
    }
  }));
  if (!isCurrent()) __privateSet(this, _close, null);
};
attempt_fn = function(token) {
  const { topics, patterns, withCredentials, silenceSecs, wire } = __privateGet(this, _options);
  return {
    url: __privateGet(this, _url),
    topics: list(topics),
    patterns: list(patterns),
    cursor: this.cursor,
    token,
    credentials: withCredentials ? "include" : "same-origin",
    wire: wire ?? false,
    silenceMs: (silenceSecs ?? SILENCE_SECS) * 1e3,
    environment: __privateGet(this, _environment2)
  };
};
onOpened_fn = function(answered) {
  __privateGet(this, _environment2).clearTimeout(__privateGet(this, _timer));
  __privateGet(this, _environment2).clearTimeout(__privateGet(this, _steady));
  __privateSet(this, _steady, __privateGet(this, _environment2).setTimeout(() => __privateGet(this, _backoff).reset(), STEADY_MS));
  __privateGet(this, _choice).keep();
  __privateSet(this, _renewed, false);
  const asked = this.cursor;
  __privateSet(this, _repeats, asked !== null && asked !== EARLIEST && answered !== asked);
  __privateGet(this, _listener).onOpen({ asked, answered, transport: __privateGet(this, _choice).current });
  if (__privateGet(this, _repeats)) __privateGet(this, _listener).onGap({ asked });
  if (asked === null) this.cursor = answered;
  if (this.cursor !== null) __privateGet(this, _listener).onCursor(this.cursor);
  __privateMethod(this, _Link_instances, enter_fn).call(this, "open");
};
onUpdate_fn = function(update) {
  this.cursor = update.id;
  __privateGet(this, _backoff).reset();
  if (__privateGet(this, _repeats) && __privateGet(this, _recent).has(update.id)) return;
  __privateGet(this, _recent).delete(update.id);
  __privateGet(this, _recent).add(update.id);
  if (__privateGet(this, _recent).size > RECENT_MAX) {
    for (const oldest of __privateGet(this, _recent)) {
      __privateGet(this, _recent).delete(oldest);
      break;
    }
  }
  __privateGet(this, _listener).onUpdate(update);
};
onEnd_fn = function(ending, opened) {
  __privateMethod(this, _Link_instances, drop_fn).call(this);
  if (ending.kind === "refused") return __privateMethod(this, _Link_instances, onRefusal_fn).call(this, ending.error);
  if (opened && ending.kind === "lost") {
    __privateGet(this, _choice).restart();
    return __privateMethod(this, _Link_instances, wait_fn).call(this, 0);
  }
  if (__privateGet(this, _choice).next(ending.kind)) return __privateMethod(this, _Link_instances, wait_fn).call(this, 0);
  __privateMethod(this, _Link_instances, enter_fn).call(this, "connecting");
  void __privateMethod(this, _Link_instances, connect_fn).call(this);
};
onRefusal_fn = function(error) {
  __privateGet(this, _listener).onError(error);
  if (isPassing(error.status)) return __privateMethod(this, _Link_instances, wait_fn).call(this, error.retryAfterMs ?? 0);
  const renewable = typeof __privateGet(this, _options).token === "function";
  if (error.status === 401 && renewable && !__privateGet(this, _renewed)) {
    __privateSet(this, _renewed, true);
    __privateMethod(this, _Link_instances, enter_fn).call(this, "connecting");
    return void __privateMethod(this, _Link_instances, connect_fn).call(this);
  }
  if (error.status === 401 && renewable) return __privateMethod(this, _Link_instances, wait_fn).call(this, 0);
  const otherWay = error.status === 404 || error.status === 405 || error.status === 406;
  if (otherWay && !__privateGet(this, _choice).next("unfit")) {
    __privateMethod(this, _Link_instances, enter_fn).call(this, "connecting");
    return void __privateMethod(this, _Link_instances, connect_fn).call(this);
  }
  __privateMethod(this, _Link_instances, enter_fn).call(this, "failed");
};
wait_fn = function(atLeastMs) {
  const number = __privateGet(this, _number);
  __privateMethod(this, _Link_instances, enter_fn).call(this, "waiting");
  if (number !== __privateGet(this, _number) || this.state !== "waiting") return;
  __privateSet(this, _timer, __privateGet(this, _environment2).setTimeout(__privateGet(this, _hurry), __privateGet(this, _backoff).next(atLeastMs)));
};
function list(texts) {
  return typeof texts === "string" ? [texts] : texts ?? [];
}

// src/publish.ts
async function publish(url, draft, token, withCredentials, environment) {
  const form = new URLSearchParams();
  for (const topic of list(draft.topic)) form.append("topic", topic);
  if (draft.data !== void 0) form.append("data", typeof draft.data === "string" ? draft.data : JSON.stringify(draft.data));
  if (draft.private) form.append("private", "on");
  if (draft.id !== void 0) form.append("id", draft.id);
  if (draft.type !== void 0) form.append("type", draft.type);
  if (draft.retry !== void 0) form.append("retry", String(draft.retry));
  const headers = { "Content-Type": "application/x-www-form-urlencoded" };
  if (token !== null) headers["Authorization"] = `Bearer ${token}`;
  const credentials = withCredentials ? "include" : "same-origin";
  const request = { method: "POST", headers, body: form.toString(), credentials };
  const answer = await environment.fetch(url, request).catch(() => {
    throw new HubError(0, "", "Not reached", "the hub cannot be reached");
  });
  if (!answer.ok) throw await readProblem(answer);
  return answer.text();
}

// src/tabs.ts
function canShare(environment) {
  return environment.locks !== void 0 && environment.BroadcastChannel !== void 0;
}
var _url2, _options2, _listener2, _environment3, _name, _channel, _abort, _link, _release, _SharedLink_instances, lead_fn, leading_fn, post_fn, onNote_fn, onState_fn;
var SharedLink = class {
  constructor(url, options, listener, environment) {
    __privateAdd(this, _SharedLink_instances);
    this.state = "connecting";
    this.transport = null;
    __privateAdd(this, _url2);
    __privateAdd(this, _options2);
    __privateAdd(this, _listener2);
    __privateAdd(this, _environment3);
    __privateAdd(this, _name);
    __privateAdd(this, _channel);
    __privateAdd(this, _abort, new AbortController());
    __privateAdd(this, _link, null);
    __privateAdd(this, _release, null);
    __privateSet(this, _url2, url);
    __privateSet(this, _options2, options);
    __privateSet(this, _listener2, listener);
    __privateSet(this, _environment3, environment);
    this.cursor = options.lastEventId ?? null;
    const selection = [url.href, options.share, list(options.topics), list(options.patterns)];
    __privateSet(this, _name, `tidings ${JSON.stringify(selection)}`);
    const Channel = environment.BroadcastChannel;
    __privateSet(this, _channel, new Channel(__privateGet(this, _name)));
    __privateGet(this, _channel).onmessage = ({ data }) => __privateMethod(this, _SharedLink_instances, onNote_fn).call(this, data);
  }
  /** Takes part; the first tab, or the next one after it is gone, connects. */
  start() {
    __privateGet(this, _listener2).onState("connecting", null);
    __privateMethod(this, _SharedLink_instances, post_fn).call(this, { hello: true });
    const { signal } = __privateGet(this, _abort);
    const hold = () => {
      if (signal.aborted) return;
      __privateMethod(this, _SharedLink_instances, lead_fn).call(this);
      return new Promise((resolve) => __privateSet(this, _release, resolve));
    };
    __privateGet(this, _environment3).locks.request(__privateGet(this, _name), { signal }, hold).catch(() => {
    });
  }
  close() {
    var _a;
    __privateGet(this, _abort).abort();
    __privateGet(this, _link)?.close();
    __privateGet(this, _channel).close();
    (_a = __privateGet(this, _release)) == null ? void 0 : _a.call(this);
    if (!__privateGet(this, _link)) __privateMethod(this, _SharedLink_instances, onState_fn).call(this, "closed", null);
  }
};
_url2 = new WeakMap();
_options2 = new WeakMap();
_listener2 = new WeakMap();
_environment3 = new WeakMap();
_name = new WeakMap();
_channel = new WeakMap();
_abort = new WeakMap();
_link = new WeakMap();
_release = new WeakMap();
_SharedLink_instances = new WeakSet();
lead_fn = function() {
  const options = { ...__privateGet(this, _options2) };
  if (this.cursor !== null) options.lastEventId = this.cursor;
  const link = new Link(__privateGet(this, _url2), options, __privateMethod(this, _SharedLink_instances, leading_fn).call(this), __privateGet(this, _environment3));
  __privateSet(this, _link, link);
  link.start();
};
/** Tells this tab and all others what the connection brings. */
leading_fn = function() {
  return {
    onUpdate: (update) => {
      this.cursor = update.id;
      __privateMethod(this, _SharedLink_instances, post_fn).call(this, { update });
      __privateGet(this, _listener2).onUpdate(update);
    },
    onOpen: (opening) => {
      __privateMethod(this, _SharedLink_instances, post_fn).call(this, { opening });
      __privateGet(this, _listener2).onOpen(opening);
    },
    onGap: (gap) => {
      __privateMethod(this, _SharedLink_instances, post_fn).call(this, { gap });
      __privateGet(this, _listener2).onGap(gap);
    },
    onState: (state, transport) => {
      __privateMethod(this, _SharedLink_instances, post_fn).call(this, { state, transport, cursor: this.cursor });
      __privateMethod(this, _SharedLink_instances, onState_fn).call(this, state, transport);
    },
    onError: (error) => __privateGet(this, _listener2).onError(error),
    onCursor: (cursor) => {
      this.cursor = cursor;
      __privateMethod(this, _SharedLink_instances, post_fn).call(this, { state: this.state, transport: this.transport, cursor });
      __privateGet(this, _listener2).onCursor(cursor);
    }
  };
};
post_fn = function(note) {
  if (!__privateGet(this, _abort).signal.aborted) __privateGet(this, _channel).postMessage(note);
};
onNote_fn = function(note) {
  if ("hello" in note) {
    if (__privateGet(this, _link)) __privateMethod(this, _SharedLink_instances, post_fn).call(this, { state: this.state, transport: this.transport, cursor: this.cursor });
    return;
  }
  if (__privateGet(this, _link)) return;
  if ("update" in note) {
    this.cursor = note.update.id;
    __privateGet(this, _listener2).onUpdate(note.update);
  } else if ("opening" in note) {
    __privateGet(this, _listener2).onOpen(note.opening);
  } else if ("gap" in note) {
    __privateGet(this, _listener2).onGap(note.gap);
  } else {
    if (note.cursor !== null) this.cursor = note.cursor;
    if (note.state !== "closed") __privateMethod(this, _SharedLink_instances, onState_fn).call(this, note.state, note.transport);
  }
};
onState_fn = function(state, transport) {
  if (this.state === state && state !== "connecting") return;
  this.state = state;
  this.transport = transport;
  __privateGet(this, _listener2).onState(state, transport);
};

// src/index.ts
function connect(url, options) {
  const hub = resolved(url);
  if (list(options.topics).length + list(options.patterns).length === 0) {
    throw new TypeError("connect needs topics or patterns to subscribe to; `*` is everything");
  }
  const environment = { ...browser(), ...options.environment };
  const listener = {
    onUpdate: options.onUpdate,
    onOpen: (opening) => options.onOpen?.(opening),
    onGap: (gap) => options.onGap?.(gap),
    onState: (state, transport) => options.onState?.(state, transport),
    onError: (error) => options.onError?.(error),
    onCursor: () => {
    }
  };
  const shares = options.share !== void 0 && options.lastEventId === void 0 && canShare(environment);
  const link = shares ? new SharedLink(hub, options, listener, environment) : new Link(hub, options, listener, environment);
  void Promise.resolve().then(() => {
    if (link.state !== "closed") link.start();
  });
  return {
    get state() {
      return link.state;
    },
    get lastEventId() {
      return link.cursor;
    },
    get transport() {
      return link.transport;
    },
    publish: (draft) => publish2(hub, draft, options),
    close: () => link.close()
  };
}
async function publish2(url, draft, options = {}) {
  const { token, withCredentials, environment } = options;
  const presented = (typeof token === "function" ? await token() : token) ?? null;
  return publish(resolved(url), draft, presented, withCredentials ?? false, { ...browser(), ...environment });
}
function resolved(url) {
  return new URL(url, typeof location === "undefined" ? void 0 : location.href);
}
export {
  HubError,
  connect,
  publish2 as publish
};
