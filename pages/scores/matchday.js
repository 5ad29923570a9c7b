// A small simulated match day: six matches, about one minute. The same seed plays the same day.

const MATCHES = [
  ["Harbour United", "Northgate"],
  ["Millbrook Rovers", "Sankt Viktor"],
  ["Real Altamar", "Eastvale"],
  ["Port Ellery", "Olympique Ligny"],
  ["Kaltenfels 04", "Dynamo Ostrava"],
  ["Red Star Lyndon", "Villa Bergamo"],
];
const PLAYERS = [
  "Abara", "Brandt", "Castelo", "Dumont", "Eriksen", "Fontana", "García", "Haddad", "Ibarra", "Jansen", "Kovač",
  "Lindqvist", "Moreau", "Nakamura", "Okafor", "Petrov", "Quiroga", "Rossi", "Silva", "Tanaka", "Ünal", "Varga",
  "Wójcik", "Yilmaz", "Zieliński",
];
const SECONDS = 60;
const HALF_TIME_MINUTES = 8; // shorter than in life
const CLOCK_EVERY_MINUTES = 4; // how often the clock of a match is published
const MINUTES = 90 + HALF_TIME_MINUTES + 6; // the whole day: both halves, the break, and late kick-offs

// Returns the day as a list of { second, state }, in the order in which to publish: each state is complete.
export function planMatchDay(seed) {
  const random = randomNumbers(seed);
  const steps = MATCHES.flatMap(([home, away], at) => planMatch({ id: String(at + 1), home, away }, random));
  return steps.sort((a, b) => a.second - b.second);
}

function planMatch({ id, home, away }, random) {
  const late = random() * 6;
  const odds = [0.012 + random() * 0.016, 0.01 + random() * 0.014];
  const state = { id, home, away, score: [0, 0], minute: 0, phase: "kick-off soon", goals: [] };
  const steps = [];
  const add = (day) => steps.push({ second: (day / MINUTES) * SECONDS, state: structuredClone(state) });
  add(0);
  state.phase = "first half";
  for (let minute = 1; minute <= 90; minute += 1) {
    const day = late + minute + (minute > 45 ? HALF_TIME_MINUTES : 0);
    state.minute = minute;
    if (minute === 46) state.phase = "second half";
    const scored = [0, 1].filter((side) => random() < odds[side]);
    for (const side of scored) {
      state.score[side] += 1;
      const player = PLAYERS[Math.floor(random() * PLAYERS.length)];
      state.goals.push({ minute, team: side === 0 ? "home" : "away", player });
      add(day);
    }
    if (scored.length === 0 && (minute === 1 || minute === 46 || minute % CLOCK_EVERY_MINUTES === 0)) add(day);
    if (minute === 45) {
      state.phase = "half-time";
      add(day + 0.5);
    }
  }
  state.phase = "full time";
  add(late + 90 + HALF_TIME_MINUTES);
  return steps;
}

// Publishes the steps one after the other, each when it is due: two at once could overtake one another.
// `speed` 2 is twice as fast. `publish` gets the state and returns a promise. Ends early when `signal` says so.
export async function playMatchDay(steps, { speed, publish, onStep, signal }) {
  const start = performance.now();
  for (const [at, { second, state }] of steps.entries()) {
    const due = start + (second * 1000) / speed;
    await pause(due - performance.now(), signal);
    if (signal.aborted) return;
    await publish(state);
    onStep(at + 1, steps.length);
  }
}

export function pause(ms, signal) {
  if (ms <= 0 || signal?.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}

// The generator "mulberry32": small, and the same in every browser. Each call returns a number from 0 up to 1.
function randomNumbers(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
