// The progress of a long job: each update is the whole state of the job, so the last one is enough.
import { setTimeout as pause } from "node:timers/promises";
import { page, publish, serve } from "../support/app.mjs";

const STEPS = 20;
const STEP_MS = Number(process.env.STEP_MS ?? 250);
const jobs = new Map(); // the id of a job, and { state, cursor }
const topicOf = (id) => `https://example.com/jobs/${id}`;

async function tell(id, state) {
  const job = jobs.get(id);
  job.state = state;
  job.cursor = await publish(topicOf(id), state);
}

// Updates are published one after the other: progress never goes back.
async function run(id) {
  try {
    for (let done = 1; done <= STEPS; done += 1) {
      await pause(STEP_MS); // the work
      await tell(id, { done, of: STEPS, status: done === STEPS ? "finished" : "running" });
    }
  } catch (error) {
    // Progress that cannot be published does not end the job in a real application; pages ask for the state.
    jobs.get(id).state = { ...jobs.get(id).state, status: `failed: ${error.message}` };
  }
}

serve({
  "GET /": (url) => {
    const id = url.searchParams.get("job") ?? "";
    return page(import.meta.url, { id, topic: topicOf(id) });
  },
  "GET /job": (url) => {
    const job = jobs.get(url.searchParams.get("id"));
    return job ? Response.json(job) : new Response("no such job", { status: 404 });
  },
  "POST /jobs": () => {
    const id = crypto.randomUUID();
    jobs.set(id, { state: { done: 0, of: STEPS, status: "running" }, cursor: "earliest" });
    run(id);
    return new Response(null, { status: 303, headers: { Location: `/?job=${id}` } });
  },
});
