// How long to wait before the next try.

/** The pause after the first failure; later ones double it. */
const FIRST_MS = 500;
/** The longest pause of our own; a hub may ask for more. */
const LONGEST_MS = 30_000;
/** The longest pause that a hub may ask for. */
const ASKED_MS_MAX = 5 * 60_000;

/** Grows with each failure. The pauses are spread, or all visitors would come back in one moment. */
export class Backoff {
  #failures = 0;
  #firstMs = FIRST_MS;
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** Takes what the hub asks for as the shortest pause (`retry` of an event stream). */
  asked(ms: number): void {
    this.#firstMs = Math.min(Math.max(ms, 1), ASKED_MS_MAX);
  }

  /** Begins anew: the connection works. */
  reset(): void {
    this.#failures = 0;
  }

  /** Returns the next pause in milliseconds; at least `atLeastMs`, which a refusal may ask for. */
  next(atLeastMs = 0): number {
    const longest = Math.max(LONGEST_MS, this.#firstMs);
    const ceiling = Math.min(this.#firstMs * 2 ** Math.min(this.#failures, 16), longest);
    this.#failures += 1;
    // Half is fixed, half is chance.
    const spread = ceiling / 2 + (ceiling / 2) * this.#random();
    return Math.min(ASKED_MS_MAX, Math.max(atLeastMs * (1 + this.#random() / 4), spread));
  }
}
