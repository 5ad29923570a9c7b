// Runs the tests one after the other, shows each as a card, and writes the report. What is tried is in checks.js.

import { eventStream, hubAnswers, longPoll, protocol, roundTrips, webSocket } from "./checks.js";

const WORDS = { passes: "passes", limited: "limited", fails: "does not pass" };
const TRANSPORTS = ["Event stream", "WebSocket", "Long polling"];

const element = (id) => document.querySelector(`#${id}`);
const settings = await fetch("/settings.json")
  .then((answer) => answer.json())
  .catch(() => ({}));
const hub = settings.hub ?? "/.well-known/mercure";
const base = `${hub}/diagnose/`;

element("again").addEventListener("click", run);
element("copy").addEventListener("click", copy);
await run();

async function run() {
  element("again").disabled = element("copy").disabled = true;
  element("checks").replaceChildren();
  element("report").textContent = "";
  element("copied").textContent = "";
  document.documentElement.removeAttribute("data-ready");
  say("running", "Testing…");
  const results = [];
  const test = async (name, work) => {
    const card = addCard(name);
    const outcome = await work();
    fill(card, outcome);
    results.push({ name, ...outcome });
    return outcome;
  };
  await test("The hub", () => hubAnswers(hub));
  const { seen } = await test("Requests", () => roundTrips(base));
  if (seen) await test("Protocol", async () => protocol(base, seen));
  await test("Event stream", () => eventStream(base));
  await test("WebSocket", () => webSocket(base));
  await test("Long polling", () => longPoll(base));
  judge(results);
  element("report").textContent = report(results);
  element("again").disabled = element("copy").disabled = false;
  document.documentElement.dataset.ready = "true";
}

function addCard(name) {
  const card = element("check").content.cloneNode(true).firstElementChild;
  card.querySelector(".name").textContent = name;
  card.querySelector(".badge").textContent = "testing…";
  element("checks").append(card);
  return card;
}

function fill(card, { result, found, advice }) {
  card.dataset.result = result;
  card.querySelector(".badge").textContent = WORDS[result];
  card.querySelector(".found").textContent = found;
  card.querySelector(".advice").textContent = advice;
  card.querySelector(".advice").hidden = advice === "";
}

function judge(results) {
  const [tone, words] = verdict(results);
  say(tone, words);
}

function verdict(results) {
  const failed = results.filter(({ result }) => result === "fails").map(({ name }) => name);
  const way = TRANSPORTS.find((name) => !failed.includes(name));
  const others = failed.filter((name) => !TRANSPORTS.includes(name));
  if (!way) return ["bad", "Nothing passes: no updates reach this browser from this hub."];
  if (others.length > 0) return ["bad", `Updates would come by ${way.toLowerCase()}, but something is wrong: ${others.join(", ")}.`];
  if (failed.length === 0) return ["good", "Everything passes: updates come at once."];
  const left = failed.join(" and ");
  return ["limited", `${left} ${failed.length > 1 ? "do" : "does"} not pass. Updates come by ${way === "WebSocket" ? way : way.toLowerCase()}.`];
}

function say(tone, words) {
  element("verdict").dataset.verdict = tone;
  element("verdict").textContent = words;
}

function report(results) {
  const lines = results.flatMap(({ name, result, found }) => [`${name}: ${result}`, `  ${found}`]);
  const [, words] = verdict(results);
  return [
    "Tidings: what the network lets through",
    `${new Date().toISOString()}  ${location.origin}`,
    navigator.userAgent,
    "",
    ...lines,
    "",
    words,
    "",
  ].join("\n");
}

async function copy() {
  const text = element("report").textContent;
  try {
    await navigator.clipboard.writeText(text);
    element("copied").textContent = "Copied.";
  } catch {
    // Without TLS, or without leave: then it is selected for copying by hand.
    getSelection().selectAllChildren(element("report"));
    element("copied").textContent = "Selected: copy it with Ctrl+C, or ⌘C.";
  }
}
