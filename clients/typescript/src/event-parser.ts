// Parses an event stream that arrives in pieces; WHATWG HTML, "Interpreting an event stream".

/** One dispatched event. */
export interface ParsedEvent {
  readonly id: string;
  readonly type: string;
  readonly data: string;
  /** The original lines. */
  readonly wire?: string;
}

/**
 * The maximum length of an event in characters, so that an endless stream does not fill the memory.
 */
const EVENT_LENGTH_MAX = 16 * 1024 * 1024;

/** Takes pieces of text, and calls back for each completed event. */
export class EventParser {
  #rest = "";
  #data: string[] = [];
  readonly #lines: string[] | null;
  #length = 0;
  #type = "";
  #id: string;
  #first = true;
  readonly #onEvent: (event: ParsedEvent) => void;
  readonly #onRetry: (ms: number) => void;

  constructor(id: string, wire: boolean, onEvent: (event: ParsedEvent) => void, onRetry: (ms: number) => void) {
    this.#lines = wire ? [] : null;
    this.#id = id;
    this.#onEvent = onEvent;
    this.#onRetry = onRetry;
  }

  /** Parses the next piece. Throws if an event is too long. */
  push(piece: string): void {
    let text = this.#rest + piece;
    if (this.#first && text !== "") {
      this.#first = false;
      if (text.startsWith("\ufeff")) text = text.slice(1);
    }
    let from = 0;
    const lineEnd = /\r\n|\n|\r/g;
    for (let end = lineEnd.exec(text); end !== null; end = lineEnd.exec(text)) {
      // A carriage return at the end may be the first half of a line end.
      if (end[0] === "\r" && lineEnd.lastIndex === text.length) break;
      this.#onLine(text.slice(from, end.index));
      from = lineEnd.lastIndex;
    }
    this.#rest = text.slice(from);
    if (this.#length + this.#rest.length > EVENT_LENGTH_MAX) throw new Error("an event is too long");
  }

  #onLine(line: string): void {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return;
    this.#lines?.push(line);
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (field === "data") {
      this.#data.push(value);
      this.#length += value.length;
    } else if (field === "event") this.#type = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    else if (field === "retry" && /^\d+$/.test(value)) this.#onRetry(Number(value));
  }

  #dispatch(): void {
    const data = this.#data;
    const type = this.#type;
    this.#data = [];
    this.#length = 0;
    this.#type = "";
    const wire = this.#lines?.splice(0).join("\n");
    if (data.length === 0) return;
    this.#onEvent({ id: this.#id, type: type || "message", data: data.join("\n"), ...(wire !== undefined && { wire }) });
  }
}
