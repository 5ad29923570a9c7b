// The parts of the pages that need no page: the plan of a match day.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

const { planMatchDay } = await load("scores/matchday.js");

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
