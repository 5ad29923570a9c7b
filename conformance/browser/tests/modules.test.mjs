// The parts of the pages that need no page: the parser of event streams and the plan of a match day.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

const { EventParser } = await load("shared/events.js");
const { planMatchDay } = await load("scores/matchday.js");

test("events are parsed as the standard says", () => {
  check("data: one\n\n", [["message", "", "one"]]);
  check("data: a\ndata: b\n\n", [["message", "", "a\nb"]]);
  check("data:a\r\ndata: b\rdata:  c\r\n\r\n", [["message", "", "a\nb\n c"]]);
  check("event: add\nid: 7\ndata: x\n\ndata: y\n\n", [["add", "7", "x"], ["message", "7", "y"]]);
  check(": only a comment\n\n", []);
  check("id: 8\n\ndata: z\n\n", [["message", "8", "z"]]);
  check("id: 8\ndata: z\n\nid\ndata: w\n\n", [["message", "8", "z"], ["message", "", "w"]]);
  check("data\n\ndata\ndata\n\n", [["message", "", ""], ["message", "", "\n"]]);
  check("id: a\0b\ndata: x\n\n", [["message", "", "x"]]);
  check("\uFEFFdata: x\n\n", [["message", "", "x"]]);
  check("data: unfinished\n", []);
  check("other: field\ndata: x\n\n", [["message", "", "x"]]);
});

test("retry is read if it is a number", () => {
  const found = [];
  const parser = new EventParser({ onEvent: () => {}, onRetry: (ms) => found.push(ms) });
  parser.push("retry: 250\n\nretry: soon\n\nretry: -1\n\nretry:\n\n");
  assert.deepEqual(found, [250]);
});

test("the same seed plays the same match day, another seed another one", () => {
  assert.deepEqual(planMatchDay(3), planMatchDay(3));
  assert.notDeepEqual(planMatchDay(3), planMatchDay(4));
});

test("a match day is whole: six matches, in order, from kick-off to full time", () => {
  for (let seed = 0; seed < 50; seed += 1) {
    const steps = planMatchDay(seed);
    const matches = group(steps);
    assert.equal(matches.size, 6);
    assert.ok(steps.every(({ second }) => second >= 0 && second <= 60));
    for (const states of [...matches.values()].map((own) => own.map(({ state }) => state))) {
      assert.deepEqual([states[0].phase, states.at(-1).phase], ["kick-off soon", "full time"]);
      states.forEach((state, at) => {
        assert.equal(state.goals.length, state.score[0] + state.score[1]);
        if (at > 0) assert.ok(state.minute >= states[at - 1].minute && state.goals.length >= states[at - 1].goals.length);
      });
    }
  }
});

// Every split of the text into two chunks gives the same events.
function check(text, expected) {
  for (let at = 0; at <= text.length; at += 1) {
    const found = [];
    const parser = new EventParser({ onEvent: ({ type, id, data }) => found.push([type, id, data]) });
    parser.push(text.slice(0, at));
    parser.push(text.slice(at));
    assert.deepEqual(found, expected, JSON.stringify([text.slice(0, at), text.slice(at)]));
  }
}

function group(steps) {
  const groups = new Map();
  for (const step of steps) groups.set(step.state.id, [...(groups.get(step.state.id) ?? []), step]);
  return groups;
}

// The pages are plain files without a package around them: node is told here that this one is a module.
async function load(path) {
  const source = await readFile(new URL(`../../../pages/${path}`, import.meta.url), "utf8");
  return import(`data:text/javascript,${encodeURIComponent(source)}`);
}
