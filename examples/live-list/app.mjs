// A live list: a page fetches the state with a cursor, then follows the changes after the cursor.
import { page, publish, serve } from "../support/app.mjs";

const TOPIC = "https://example.com/tasks";
const tasks = new Map(); // the id of a task, and { id, version, title, done }
let cursor = "earliest";

// Changes of one task are ordered by its version, so that it does not matter which arrives last.
async function change(id, values) {
  const task = { id, title: "", done: false, ...tasks.get(id), ...values };
  task.version = (tasks.get(id)?.version ?? 0) + 1;
  tasks.set(id, task);
  // The state is changed before the cursor: a page that reads in between receives this change again, and none is lost.
  cursor = await publish(TOPIC, task);
  return Response.json(task);
}

serve({
  "GET /": () => page(import.meta.url, { topic: TOPIC }),
  "GET /tasks": () => Response.json({ tasks: [...tasks.values()], cursor }),
  "POST /tasks": (_url, form) => change(crypto.randomUUID(), { title: form.get("title") }),
  "POST /done": (_url, form) => change(form.get("id"), { done: form.get("done") === "true" }),
});
