// The board: one card for each match, drawn from the newest state that the hub sent.
//
// Each update holds the complete state of one match, so a later one replaces an earlier one. On load the board reads the
// whole history and then draws once, so nobody sees old scores run by.

import { oncePerFrame, showState } from "/shared/source.js";
import { followAll } from "/shared/follow.js";

const HUB = "/.well-known/mercure";
const SCORES = "/scores/:match";

const FRESH_MS = 5000; // so long a goal stands out
const MATCHES_MAX = 200;
const IDS_KEPT_MAX = 20000;

// Draws into the elements #board, #empty, #updates, #doubled, #spoken and #state of the page.
// `onMatches` gets the Map of match id to state whenever it changed.
export function openBoard({ onMatches = () => {} } = {}) {
  const element = (id) => document.querySelector(`#${id}`);
  const matches = new Map();
  const cards = new Map();
  const changed = new Set();
  const ids = new Set(); // of updates that came
  let doubled = 0;
  let updates = 0;
  let hasPast = false;
  let settled = false;

  followAll(HUB, {
    patterns: SCORES,
    share: "scores",
    onUpdate({ id, data }) {
      ids.add(id);
      // A Set remembers the order of insertion: the first is the oldest.
      if (ids.size > IDS_KEPT_MAX) ids.delete(ids.values().next().value);
      updates += 1;
      const state = parse(data);
      if (state && (matches.has(state.id) || matches.size < MATCHES_MAX)) {
        matches.set(state.id, state);
        changed.add(state.id);
      }
      if (hasPast) draw();
    },
    onPast() {
      hasPast = true;
      draw();
    },
    onDoubled() {
      doubled += 1;
      if (hasPast) draw();
    },
    onState: (state) => showState(element("state"), state),
  });

  const draw = oncePerFrame(() => {
    const goals = [];
    for (const id of changed) {
      const state = matches.get(id);
      let card = cards.get(id);
      if (!card) {
        card = addCard(state);
        cards.set(id, card);
      }
      const scored = card.show(state, settled);
      if (scored) goals.push(scored);
    }
    settled = true;
    changed.clear();
    element("empty").hidden = matches.size > 0;
    element("updates").textContent = String(updates);
    element("doubled").textContent = String(doubled);
    if (goals.length > 0) element("spoken").textContent = goals.join(" ");
    onMatches(matches);
  });

  // Cards stand in the order of their match ids, whichever came first.
  function addCard(state) {
    const card = new Card(state.id);
    const order = (a, b) => a.localeCompare(b, "en", { numeric: true });
    const next = [...element("board").children].find((other) => order(other.dataset.match, state.id) > 0);
    element("board").insertBefore(card.element, next ?? null);
    return card;
  }

  return { matches, has: (eventId) => ids.has(eventId) };
}

class Card {
  element = document.createElement("article");
  #title = make("h2", "unseen");
  #phase = make("span", "phase");
  #minute = make("span", "minute");
  #sides = [make("p", "side home"), make("p", "side away")];
  #teams = [make("span", "team"), make("span", "team")];
  #scores = [make("span", "score"), make("span", "score")];
  #goals = make("ol", "goals");
  #shown = null;
  #timers = [];

  constructor(id) {
    this.element.className = "card match";
    this.element.dataset.match = id;
    const clock = make("p", "clock");
    clock.append(this.#phase, this.#minute);
    this.#sides.forEach((side, at) => side.append(this.#teams[at], " ", this.#scores[at]));
    this.#goals.setAttribute("aria-label", "Goals");
    this.element.append(this.#title, clock, ...this.#sides, this.#goals);
  }

  // Shows a state. Returns what to say aloud if a goal was scored since the last one shown and `live` is true.
  show(state, live) {
    const before = this.#shown;
    this.#shown = state;
    const running = /half$|extra/.test(state.phase);
    this.element.toggleAttribute("data-live", running);
    write(this.#title, `${state.home} against ${state.away}`);
    write(this.#phase, state.phase);
    write(this.#minute, running ? `${state.minute}′` : "");
    write(this.#teams[0], state.home);
    write(this.#teams[1], state.away);
    for (const at of [0, 1]) {
      write(this.#scores[at], String(state.score[at]));
      this.#sides[at].classList.toggle("leads", state.score[at] > state.score[1 - at]);
    }
    this.#showGoals(state.goals);
    if (!before || !live) return undefined;
    const scored = [0, 1].filter((at) => state.score[at] > before.score[at]);
    for (const at of scored) this.#stress(at);
    if (scored.length === 0) return undefined;
    const player = state.goals.at(-1)?.player;
    return `Goal! ${state.home} ${state.score[0]}, ${state.away} ${state.score[1]}${player ? `, ${player}` : ""}.`;
  }

  #showGoals(goals) {
    const lines = goals.map((goal) => `${goal.team}|${goal.minute}′ ${goal.player}`);
    const items = [...this.#goals.children];
    items.slice(lines.length).forEach((item) => item.remove());
    lines.forEach((line, at) => {
      const [team, text] = [line.slice(0, line.indexOf("|")), line.slice(line.indexOf("|") + 1)];
      const item = items[at] ?? this.#goals.appendChild(make("li", ""));
      if (item.className !== team) item.className = team;
      write(item, text);
    });
  }

  #stress(at) {
    const score = this.#scores[at];
    clearTimeout(this.#timers[at]);
    score.classList.remove("fresh");
    // Reading the size makes the browser notice the removal, so the animation starts again for a second goal.
    void score.offsetWidth;
    score.classList.add("fresh");
    this.#timers[at] = setTimeout(() => score.classList.remove("fresh"), FRESH_MS);
  }
}

function make(tag, className) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  return element;
}

// Writes only what differs: an unchanged card is not laid out again.
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// Returns the state of a match, or null if the event holds none.
function parse(text) {
  let state;
  try {
    state = JSON.parse(text);
  } catch {
    return null;
  }
  const count = (value) => (Number.isInteger(value) && value >= 0 ? value : 0);
  if (typeof state?.id !== "string" || !Array.isArray(state.score)) return null;
  const goals = Array.isArray(state.goals) ? state.goals : [];
  return {
    id: state.id,
    home: String(state.home ?? "Home"),
    away: String(state.away ?? "Away"),
    score: [count(state.score[0]), count(state.score[1])],
    minute: count(state.minute),
    phase: String(state.phase ?? ""),
    goals: goals.map((goal) => ({
      minute: count(goal?.minute),
      team: goal?.team === "away" ? "away" : "home",
      player: String(goal?.player ?? ""),
    })),
  };
}
