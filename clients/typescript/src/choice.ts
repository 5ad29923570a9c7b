// Which transport is tried next, and what worked before.

import type { Environment, TransportName } from "./types.js";

const KEY = "tidings.transport";
/** How long a transport that is not the first choice is tried first: networks change. */
const REMEMBERED_MS = 24 * 60 * 60 * 1000;
/** After so many rounds in vain, those that do not pass are tried again too. */
const ROUNDS_MAX = 3;

/**
 * Goes through the transports in their order. One that does not pass is left out from then on; one
 * that was only lost gets its turn again, so that a hub that is away for a moment changes nothing.
 */
export class Choice {
  readonly #names: readonly TransportName[];
  readonly #environment: Environment;
  readonly #key: string;
  /** What does not pass through this network. */
  readonly #unfit = new Set<TransportName>();
  /** What was lost in this round. */
  readonly #lost = new Set<TransportName>();
  /** Whether one of this round did not pass: then the network is there, and the others were not lost by chance. */
  #suspect = false;
  #rounds = 0;
  #current: TransportName;

  constructor(names: readonly TransportName[], origin: string, environment: Environment) {
    this.#names = names;
    this.#environment = environment;
    this.#key = `${KEY} ${origin}`;
    const worked = names.findIndex((name) => name === this.#remembered());
    for (const name of names.slice(0, Math.max(worked, 0))) this.#unfit.add(name);
    this.#current = this.#pick() as TransportName;
  }

  /** The transport that is used, or tried now. */
  get current(): TransportName {
    return this.#current;
  }

  /** Goes on to the next one; returns whether all were tried. */
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

  /** The current one works. */
  keep(): void {
    // One that stands in for those that were only lost is nothing to remember.
    if (this.#lost.size === 0 || this.#suspect) this.#remember(this.#current);
    this.#begin();
    this.#rounds = 0;
  }

  /** The current one worked and was cut: the first that passes is tried again. */
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
      // A full or forbidden storage costs the next visit a try.
    }
  }
}
