// The time to wait before the next attempt.

/** The pause after the first failure. Each further failure doubles it. */
const FIRST_MS = 500;
/** The longest pause of our own. A hub may ask for a longer one. */
const LONGEST_MS = 30_000;
/** The longest pause that a hub may ask for. */
const ASKED_MS_MAX = 5 * 60_000;

/**
 * A pause that grows with each failure. It is partly random, so that not all visitors reconnect at
 * once.
 */
export class Backoff {
  #failures = 0;
  #firstMs = FIRST_MS;
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** Sets the shortest pause, as requested by the hub (`retry` of an event stream). */
  asked(ms: number): void {
    this.#firstMs = Math.min(Math.max(ms, 1), ASKED_MS_MAX);
  }

  /** Starts again: the connection works. */
  reset(): void {
    this.#failures = 0;
  }

  /** Returns the next pause in milliseconds, at least `atLeastMs`, which a refusal may request. */
  next(atLeastMs = 0): number {
    const longest = Math.max(LONGEST_MS, this.#firstMs);
    const ceiling = Math.min(this.#firstMs * 2 ** Math.min(this.#failures, 16), longest);
    this.#failures += 1;
    // Half of the pause is fixed, half is random.
    const spread = ceiling / 2 + (ceiling / 2) * this.#random();
    return Math.min(ASKED_MS_MAX, Math.max(atLeastMs * (1 + this.#random() / 4), spread));
  }
}
