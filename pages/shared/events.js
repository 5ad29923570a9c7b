// Reads an event stream with fetch: unlike EventSource it can send a token, and it shows the answer's status and fields.
//
// `EventParser` turns text into events as "Parsing an event stream" of the HTML standard says. `EventReader` keeps a
// connection open: it reconnects after the last event id, waits as long as the hub asks, and stops at a refusal.

export class EventParser {
  #onEvent;
  #onRetry;
  #rest = "";
  #started = false;
  #afterCarriageReturn = false;
  #lines = [];
  #data = [];
  #type = "";
  #id = "";

  constructor({ onEvent, onRetry = () => {} }) {
    this.#onEvent = onEvent;
    this.#onRetry = onRetry;
  }

  push(text) {
    if (!this.#started && text) {
      this.#started = true;
      if (text.startsWith("\uFEFF")) text = text.slice(1);
    }
    // CRLF may be cut in two between chunks: the line feed that follows ends no second line.
    if (this.#afterCarriageReturn && text) {
      this.#afterCarriageReturn = false;
      if (text.startsWith("\n")) text = text.slice(1);
    }
    this.#afterCarriageReturn = text.endsWith("\r");
    const lines = (this.#rest + text).split(/\r\n|\r|\n/);
    this.#rest = lines.pop();
    for (const line of lines) this.#onLine(line);
  }

  #onLine(line) {
    if (line === "") {
      this.#dispatch();
      return;
    }
    if (line.startsWith(":")) return;
    this.#lines.push(line);
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (name === "data") this.#data.push(value);
    else if (name === "event") this.#type = value;
    else if (name === "id" && !value.includes("\0")) this.#id = value;
    else if (name === "retry" && /^[0-9]+$/.test(value)) this.#onRetry(Number(value));
  }

  #dispatch() {
    const raw = this.#lines.join("\n");
    const data = this.#data;
    const type = this.#type || "message";
    this.#lines = [];
    this.#data = [];
    this.#type = "";
    if (data.length === 0) return;
    this.#onEvent({ id: this.#id, type, data: data.join("\n"), raw });
  }
}

const WAIT_MS_DEFAULT = 1000;
const WAIT_MS_MAX = 30000;

export class EventReader {
  lastEventId;
  #url;
  #token;
  #on;
  #abort = null;
  #timer = null;
  #waitMs = WAIT_MS_DEFAULT;
  #failures = 0;

  // `on`: { state(name), opened(answer), event(event), refused(problem) }. States: connecting, open, waiting, closed, failed.
  constructor(url, { token = "", lastEventId = "", on }) {
    this.#url = url;
    this.#token = token;
    this.lastEventId = lastEventId;
    this.#on = on;
  }

  open() {
    clearTimeout(this.#timer);
    this.#read();
  }

  // Cuts the connection as a failing network would, and opens a new one when `until` is settled.
  async drop(until) {
    this.#cut();
    this.#on.state("waiting");
    await until;
    this.open();
  }

  close() {
    this.#cut();
    this.#on.state("closed");
  }

  #cut() {
    clearTimeout(this.#timer);
    this.#abort?.abort();
    this.#abort = null;
  }

  async #read() {
    const abort = new AbortController();
    this.#abort = abort;
    const asked = this.lastEventId;
    const headers = { Accept: "text/event-stream" };
    if (this.#token) headers.Authorization = `Bearer ${this.#token}`;
    // fetch encodes no field value: an id outside Latin-1 goes into the address instead.
    const url = new URL(this.#url, location.href);
    if (asked && /^[\x20-\x7e]*$/.test(asked)) headers["Last-Event-ID"] = asked;
    else if (asked) url.searchParams.set("last_event_id", asked);

    this.#on.state("connecting");
    try {
      const answer = await fetch(url, { headers, signal: abort.signal, cache: "no-store", credentials: "same-origin" });
      if (!answer.ok || !isEventStream(answer)) {
        await this.#onRefusal(answer, abort);
        return;
      }
      this.#failures = 0;
      this.#on.opened({ asked, status: answer.status, answered: answer.headers.get("Mercure-Last-Event-ID") });
      this.#on.state("open");
      await this.#onBody(answer.body, abort);
    } catch (error) {
      if (abort.signal.aborted) return;
      if (!(error instanceof TypeError) && error.name !== "AbortError") throw error;
    }
    if (!abort.signal.aborted) this.#again(this.#waitMs);
  }

  async #onBody(body, abort) {
    const parser = new EventParser({
      onEvent: (event) => {
        if (abort.signal.aborted) return;
        this.lastEventId = event.id;
        this.#on.event(event);
      },
      onRetry: (ms) => (this.#waitMs = Math.min(ms, WAIT_MS_MAX)),
    });
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      parser.push(value);
    }
  }

  async #onRefusal(answer, abort) {
    const problem = await readProblem(answer);
    if (abort.signal.aborted) return;
    this.#on.refused(problem);
    const passing = answer.status >= 500 || answer.status === 408 || answer.status === 429;
    if (!passing) {
      this.#on.state("failed");
      return;
    }
    const asked = Number(answer.headers.get("Retry-After"));
    this.#again(Number.isFinite(asked) && asked > 0 ? Math.min(asked * 1000, WAIT_MS_MAX) : this.#waitMs);
  }

  #again(waitMs) {
    this.#failures += 1;
    // Twice as long after each failure, and never the same for all: a hub that restarts is not to be stormed.
    const grown = Math.min(waitMs * 2 ** Math.min(this.#failures - 1, 5), WAIT_MS_MAX);
    this.#on.state("waiting");
    this.#timer = setTimeout(() => this.#read(), grown * (0.75 + Math.random() / 4));
  }
}

function isEventStream(answer) {
  return (answer.headers.get("Content-Type") ?? "").toLowerCase().startsWith("text/event-stream");
}

// Reads what the hub says about a refusal: its problem document (RFC 9457), or as much as there is.
export async function readProblem(answer) {
  const text = await answer.text().catch(() => "");
  const type = answer.headers.get("Content-Type") ?? "";
  const found = { status: answer.status, title: answer.statusText, detail: "", text };
  if (!/[/+]json\b/.test(type)) return { ...found, detail: text.slice(0, 400) };
  try {
    return { ...found, ...JSON.parse(text), status: answer.status };
  } catch {
    return { ...found, detail: text.slice(0, 400) };
  }
}
