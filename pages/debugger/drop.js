// The drop test: publishes numbered events, cuts the connection in the midst of them, and counts what came.
//
//   sent      1 2 3 … 15 16 17 … 30 31 32 … 60
//   received  live     │  cut: nothing │ replayed, then live again

import { describe } from "/shared/hub.js";
import { oncePerFrame, showState } from "/shared/source.js";
import { connect, publish } from "/tidings.mjs";

const TOTAL = 60;
const EVERY_MS = 40; // between two events
const CUT_AFTER = 15; // received: then the connection is cut
const AWAY_EVENTS = 15; // published while the connection is away
const PATIENCE_MS = 15000; // what has not come so long after the last publish is lost

// `hub` and `token` are functions that return what is set at that moment.
export function prepareDropTest({ hub, token }) {
  const element = (id) => document.querySelector(`#${id}`);
  const button = element("drop");
  element("drop-total").textContent = String(TOTAL);
  button.addEventListener("click", async () => {
    button.disabled = true;
    await new DropTest(hub(), token(), element).run();
    button.disabled = false;
  });
}

class DropTest {
  #hub;
  #token;
  #element;
  #topic;
  #cells;
  #times = new Array(TOTAL + 1).fill(0); // how often each number was received
  #sent = 0;
  #received = 0;
  #replayed = 0;
  #doubled = 0;
  #disordered = 0;
  #newest = 0;
  #cut = false;
  #sentAtReturn = 0; // what was sent before the connection came back and is received after it was replayed
  #wakeups = new Set();
  #trouble = "";

  constructor(hub, token, element) {
    this.#hub = hub;
    this.#token = token;
    this.#element = element;
    this.#topic = `/debugger/drop/${Date.now().toString(36)}-${Math.floor(Math.random() * 1e9).toString(36)}`;
    this.#cells = Array.from({ length: TOTAL }, () => document.createElement("li"));
    element("cells").replaceChildren(...this.#cells);
  }

  async run() {
    this.#say("", "Connecting…");
    this.#connect();
    await this.#until(() => this.#isOpen);
    this.#say("", "Publishing…");
    const publishing = this.#publishAll();

    await this.#until(() => this.#received >= CUT_AFTER);
    if (!this.#trouble) await this.#cutAndReturn();
    await publishing;
    await this.#until(() => this.#received >= this.#sent, PATIENCE_MS);
    this.#connection.close();
    this.#judge();
  }

  #connection = null;

  #connect(lastEventId) {
    this.#connection = connect(this.#hub, {
      topics: this.#topic,
      ...(this.#token && { token: this.#token }),
      ...(lastEventId && { lastEventId }),
      onState: (state) => this.#onState(state),
      onUpdate: (update) => this.#onArrival(update),
      onError: (error) => this.#fail(`The hub refused the subscription: ${describe(error)}`),
    });
  }

  async #cutAndReturn() {
    const sentBefore = this.#sent;
    this.#cut = true;
    this.#say("", "The connection is dropped. Publishing continues…");
    const { lastEventId } = this.#connection;
    this.#connection.close();
    await this.#until(() => this.#sent >= sentBefore + AWAY_EVENTS);
    this.#connect(lastEventId);
    await this.#until(() => this.#isOpen);
    this.#say("", "Connected again, from the last event id.");
  }

  async #publishAll() {
    for (let number = 1; number <= TOTAL && !this.#trouble; number += 1) {
      try {
        const draft = { topic: this.#topic, data: String(number) };
        await publish(this.#hub, draft, this.#token ? { token: this.#token } : {});
      } catch (error) {
        this.#fail(`Publishing failed: ${describe(error)}`);
        return;
      }
      this.#sent = number;
      this.#draw();
      this.#wake();
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    }
  }

  #isOpen = false;

  #onState(state) {
    showState(this.#element("drop-state"), state);
    this.#isOpen = state === "open";
    if (this.#isOpen && this.#cut) this.#sentAtReturn = this.#sent;
    this.#wake();
  }

  #onArrival(event) {
    const number = Number(event.data);
    this.#times[number] += 1;
    if (this.#times[number] > 1) {
      this.#doubled += 1;
    } else {
      this.#received += 1;
      if (number < this.#newest) this.#disordered += 1;
      this.#newest = Math.max(this.#newest, number);
      const replayed = this.#cut && number <= this.#sentAtReturn;
      if (replayed) this.#replayed += 1;
      this.#cells[number - 1].className = replayed ? "replayed" : "live";
    }
    this.#draw();
    this.#wake();
  }

  #draw = oncePerFrame(() => {
    const counts = {
      sent: this.#sent,
      received: this.#received,
      replayed: this.#replayed,
      doubled: this.#doubled,
      disordered: this.#disordered,
    };
    for (const [id, value] of Object.entries(counts)) this.#element(id).textContent = String(value);
    this.#cells.slice(0, this.#sent).forEach((cell) => (cell.className ||= "sent"));
  });

  #judge() {
    const lost = this.#trouble ? 0 : this.#sent - this.#received;
    this.#element("lost").textContent = String(lost);
    this.#cells.forEach((cell, at) => {
      if (lost > 0 && this.#times[at + 1] === 0) cell.className = "lost";
    });
    this.#draw();
    if (this.#trouble) this.#say("bad", this.#trouble);
    else if (lost + this.#doubled + this.#disordered > 0) this.#say("bad", "Something went wrong, see the counters.");
    else this.#say("good", `All ${this.#sent} came once and in order, ${this.#replayed} of them after the reconnect.`);
  }

  #fail(why) {
    this.#trouble ||= why;
    this.#wake();
  }

  #say(tone, text) {
    this.#element("drop-said").className = `said-by-hub ${tone}`;
    this.#element("drop-said").textContent = text;
  }

  #wake() {
    for (const wakeup of [...this.#wakeups]) wakeup();
  }

  // Waits for a condition; ends early when the test has failed or `patienceMs` have passed.
  #until(condition, patienceMs) {
    return new Promise((resolve) => {
      const finish = () => {
        this.#wakeups.delete(check);
        resolve();
      };
      const check = () => {
        if (this.#trouble || condition()) finish();
      };
      this.#wakeups.add(check);
      if (patienceMs !== undefined) setTimeout(finish, patienceMs);
      check();
    });
  }
}
