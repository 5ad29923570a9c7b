// The page of the one who reports goals: publishes complete states, and shows the same board as everybody else.
//
// ?seed= and ?speed= fill in the fields of the match day.

import { openBoard } from "./board.js";
import { pause, planMatchDay, playMatchDay } from "./matchday.js";
import { describe, devSettings } from "/shared/hub.js";
import { publish } from "/tidings.mjs";

const HUB = "/.well-known/mercure";
const BACK_MS_MAX = 5000; // how long a report may take through the hub before the next one is published all the same
const RETRY_MS = 500; // between two tries while the hub is away
const RETRIES_MAX = 120;

const element = (id) => document.querySelector(`#${id}`);
const [day, report, add, token] = ["day", "report", "add", "token"].map(element);
const board = openBoard({ onMatches: showMatches });

// ---- The token

token.addEventListener("input", showToken);
devSettings().then((settings) => {
  if (settings && !token.value) token.value = settings.publisher_token;
  if (!settings) element("token-card").open = true;
  showToken();
});

function showToken() {
  element("token-said").textContent = token.value.trim() ? "set" : "none, so nothing can be published";
}

function publishState(state) {
  showLine(state);
  return publish(HUB, { topic: `/scores/${state.id}`, data: state }, { token: token.value.trim() || undefined });
}

// The token stays out of the line: it would end up in the shell's history.
function showLine(state) {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  element("line-card").hidden = false;
  element("line").textContent = `tidings publish --topic /scores/${state.id} --data ${quoted(JSON.stringify(state))}`;
}

function say(id, tone, text) {
  element(id).className = `said-by-hub ${tone}`;
  element(id).textContent = text;
}

// ---- Reporting

let choices = "";

function showMatches(matches) {
  const states = [...matches.values()].sort((a, b) => a.id.localeCompare(b.id, "en", { numeric: true }));
  const key = states.map(({ id, home, away }) => `${id} ${home} ${away}`).join("\n");
  if (key !== choices) {
    choices = key;
    const chosen = report.match.value;
    report.match.replaceChildren(...states.map(({ id, home, away }) => new Option(`${home} – ${away}`, id)));
    if (matches.has(chosen)) report.match.value = chosen;
    for (const button of report.querySelectorAll("button")) button.disabled = false;
    showChosen();
  }
  followClock();
}

function showChosen() {
  const state = board.matches.get(report.match.value);
  if (!state) return;
  element("home-name").textContent = state.home;
  element("away-name").textContent = state.away;
  fillClock(state);
  showLine(state);
}

// Minute and phase follow the match until somebody writes something else into them.
let filled = {};

function fillClock({ minute, phase }) {
  filled = { minute: String(minute), phase };
  report.minute.value = filled.minute;
  report.phase.value = phase;
}

function followClock() {
  const state = board.matches.get(report.match.value);
  const untouched = report.minute.value === filled.minute && report.phase.value === filled.phase;
  if (state && untouched) fillClock(state);
}

report.match.addEventListener("change", showChosen);

// One report after the other: each starts from the state that came back through the hub, so a quick second goal does not
// overwrite the first.
let reports = Promise.resolve();

report.addEventListener("submit", (event) => {
  event.preventDefault();
  const form = new FormData(report);
  const isGoal = event.submitter?.value !== "clock";
  reports = reports.then(() =>
    tell("report-said", () => {
      const state = structuredClone(board.matches.get(form.get("match")));
      const team = form.get("team");
      state.minute = Number(form.get("minute"));
      state.phase = form.get("phase");
      if (isGoal) {
        state.score[team === "home" ? 0 : 1] += 1;
        const goal = { minute: state.minute, team, player: form.get("player").trim() || "?" };
        state.goals.push(goal);
        reported.set(state.id, [...(reported.get(state.id) ?? []), goal]);
      }
      return state;
    }),
  );
  if (isGoal) report.player.value = "";
});

add.addEventListener("submit", (event) => {
  event.preventDefault();
  const { home, away } = Object.fromEntries(new FormData(add));
  reports = reports.then(() =>
    tell("add-said", () => {
      const numbers = [...board.matches.keys()].map(Number).filter(Number.isInteger);
      const id = String(Math.max(0, ...numbers) + 1);
      return { id, home, away, score: [0, 0], minute: 0, phase: "kick-off soon", goals: [] };
    }),
  );
  add.reset();
});

async function tell(place, makeState) {
  try {
    const id = await publishState(makeState());
    say(place, "good", `Published as ${id}`);
    await cameBack(id);
  } catch (error) {
    say(place, "bad", describe(error));
  }
}

async function cameBack(id) {
  for (let waited = 0; waited < BACK_MS_MAX && !board.has(id); waited += 10) await pause(10);
}

// ---- The match day

const asked = new URLSearchParams(location.search);
day.seed.value = asked.get("seed") ?? String(Math.floor(Math.random() * 10000));
day.speed.value = asked.get("speed") ?? "1";
let playing = null;

// Goals that were reported by hand while the match day is played: its own states know nothing of them.
const reported = new Map();

function withReported(state) {
  const more = reported.get(state.id) ?? [];
  const count = (team) => more.filter((goal) => goal.team === team).length;
  return {
    ...state,
    score: [state.score[0] + count("home"), state.score[1] + count("away")],
    goals: [...state.goals, ...more].sort((a, b) => a.minute - b.minute),
  };
}

element("stop").addEventListener("click", () => playing?.abort());

day.addEventListener("submit", async (event) => {
  event.preventDefault();
  playing = new AbortController();
  const { signal } = playing;
  const progress = element("progress");
  reported.clear();
  progress.hidden = false;
  element("play").disabled = true;
  element("stop").disabled = false;
  say("day-said", "", "The match day is on.");
  try {
    await playMatchDay(planMatchDay(Number(day.seed.value)), {
      speed: Number(day.speed.value),
      signal,
      publish: (state) => publishPatiently(withReported(state), signal),
      onStep(done, all) {
        progress.max = all;
        progress.value = done;
      },
    });
    if (signal.aborted) say("day-said", "", "Stopped.");
    else say("day-said", "good", `Full time everywhere: ${progress.max} updates published.`);
  } catch (error) {
    say("day-said", "bad", describe(error));
  }
  element("play").disabled = false;
  element("stop").disabled = true;
});

// While the hub cannot be reached or asks to come back later, tries again. A state that arrives twice does no harm.
async function publishPatiently(state, signal) {
  for (let tries = 1; ; tries += 1) {
    try {
      const id = await publishState(state);
      if (tries > 1) say("day-said", "", "The hub is back, the match day goes on.");
      return id;
    } catch (error) {
      const passing = error.status === 0 || error.status === 429 || error.status === 503;
      if (!passing || tries > RETRIES_MAX || signal.aborted) throw error;
      say("day-said", "bad", `${describe(error)}. Trying again…`);
      await pause(RETRY_MS, signal);
    }
  }
}
