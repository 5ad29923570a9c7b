// Chooses the next transport, and remembers which one worked.

import type { Environment, TransportName } from "./types.js";

const KEY = "tidings.transport";
/** How long a transport other than the first choice is preferred: networks change. */
const REMEMBERED_MS = 24 * 60 * 60 * 1000;
/** After this many failed rounds, transports that did not work are tried again, too. */
const ROUNDS_MAX = 3;

/**
 * Tries the transports in order. A transport that does not work in this network is left out from
 * then on. One that was only lost gets another turn, so that a short outage of the hub changes
 * nothing.
 */
export class Choice {
  readonly #names: readonly TransportName[];
  readonly #environment: Environment;
  readonly #key: string;
  /** Transports that do not work in this network. */
  readonly #unfit = new Set<TransportName>();
  /** Transports that were lost in this round. */
  readonly #lost = new Set<TransportName>();
  /**
   * Whether a transport failed to work in this round. Then the network is up, and the others were
   * not lost by chance.
   */
  #suspect = false;
  #rounds = 0;
  #current: TransportName;

  constructor(names: readonly TransportName[], origin: string, environment: Environment) {
    this.#names = names;
    this.#environment = environment;
    // An order with another first transport has not tried the ones before this one.
    this.#key = `${KEY} ${names[0]} ${origin}`;
    const worked = names.findIndex((name) => name === this.#remembered());
    for (const name of names.slice(0, Math.max(worked, 0))) this.#unfit.add(name);
    this.#current = this.#pick() as TransportName;
  }

  /** The transport that is in use or being tried. */
  get current(): TransportName {
    return this.#current;
  }

  /** Moves on to the next transport. Returns whether all have been tried. */
  next(why: "lost" | "unfit"): boolean {
    if (why === "unfit") this.#suspect = true;
    (why === "unfit" ? this.#unfit : this.#lost).add(this.#current);
    const exhausted = this.#pick() === undefined;
    if (exhausted) {
      this.#begin();
      this.#rounds += 1;
      if (this.#rounds >= ROUNDS_MAX || this.#pick() === undefined) {
        this.#unfit.clear();
        this.#rounds = 0;
      }
    }
    this.#current = this.#pick() as TransportName;
    return exhausted;
  }

  /** Records that the current transport works. */
  keep(): void {
    // A transport that only replaces lost ones is not worth remembering.
    if (this.#lost.size === 0 || this.#suspect) this.#remember(this.#current);
    this.#begin();
    this.#rounds = 0;
  }

  /**
   * Records that the current transport worked and was lost. The next round starts with the first
   * that works.
   */
  restart(): void {
    this.#current = this.#pick() as TransportName;
  }

  #begin(): void {
    this.#lost.clear();
    this.#suspect = false;
  }

  #pick(): TransportName | undefined {
    return this.#names.find((name) => !this.#unfit.has(name) && !this.#lost.has(name));
  }

  #remembered(): string | null {
    try {
      const [name, time] = this.#environment.storage?.getItem(this.#key)?.split(" ") ?? [];
      const age = this.#environment.now() - Number(time);
      return name !== undefined && age >= 0 && age < REMEMBERED_MS ? name : null;
    } catch {
      return null;
    }
  }

  #remember(name: TransportName): void {
    if (this.#remembered() === name) return;
    try {
      this.#environment.storage?.setItem(this.#key, `${name} ${this.#environment.now()}`);
    } catch {
      // If the storage is full or forbidden, the next visit needs one more attempt.
    }
  }
}
