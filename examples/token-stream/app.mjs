// The tokens of a language model, as they are made: the hub stores them, so a page that reloads continues, and
// several pages can watch one answer. Stopping ends the model's work.
import { setTimeout as pause } from "node:timers/promises";
import { allow, page, publish, serve } from "../support/app.mjs";

const TOKEN_MS = Number(process.env.TOKEN_MS ?? 60);
const WORDS = "Real-time push means that a server sends data to its clients as soon as there is any. ".repeat(5);
const answers = new Map(); // the id of an answer that is being made, and its AbortController
const topicOf = (id) => `https://example.com/answers/${id}`;

// Stands for a language model: put the stream of yours here, and give it the signal.
async function* model(_prompt, signal) {
  for (const token of WORDS.match(/\S+\s*/g)) {
    await pause(TOKEN_MS, undefined, { signal });
    yield token;
  }
}

// Publishes what the model makes. While one publish request is under way, tokens are gathered for the next one: a
// fast model causes fewer and larger updates.
async function answer(id, prompt, { signal }) {
  let gathered = "";
  let end;
  const made = (async () => {
    for await (const token of model(prompt, signal)) gathered += token;
    end = "finished";
  })().catch((error) => (end = signal.aborted ? "stopped" : `failed: ${error.message}`));

  while (end === undefined || gathered) {
    const text = gathered;
    gathered = "";
    if (text) await publish(topicOf(id), { text }, { private: "on" });
    else await Promise.race([made, pause(TOKEN_MS)]);
  }
  await publish(topicOf(id), { end }, { private: "on" });
}

serve({
  "GET /": (url) => {
    const id = url.searchParams.get("answer") ?? "";
    return page(import.meta.url, { id, topic: topicOf(id) }, id ? allow("ada", topicOf(id)) : {});
  },

  "POST /answers": (_url, form) => {
    const id = crypto.randomUUID();
    const controller = new AbortController();
    answers.set(id, controller);
    answer(id, form.get("prompt"), controller)
      .catch((error) => {
        console.error(error);
        controller.abort();
      })
      .finally(() => answers.delete(id));
    return new Response(null, { status: 303, headers: { Location: `/?answer=${id}` } });
  },

  "POST /stop": (_url, form) => {
    answers.get(form.get("id"))?.abort();
    return new Response(null, { status: 204 });
  },
});
