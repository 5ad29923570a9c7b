// Publishes an update with one POST, and asks a hub in development mode for its settings and tokens.

import { readProblem } from "/shared/events.js";

export class PublishError extends Error {
  constructor(problem) {
    super(describe(problem));
    this.name = "PublishError";
    this.code = problem.status;
    this.problem = problem;
  }
}

// `fields` is a list of [name, value] pairs, as the form is written: topic, data, private, id, type, retry.
// Returns the event id.
export async function publish(hub, token, fields) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  let answer;
  try {
    answer = await fetch(hub, { method: "POST", headers, body: new URLSearchParams(fields) });
  } catch {
    throw new PublishError({ status: 0, title: "The hub cannot be reached", detail: "" });
  }
  if (!answer.ok) throw new PublishError(await readProblem(answer));
  return answer.text();
}

// Returns the settings of a hub started with `tidings dev`, or null: a hub in production gives no tokens away.
export async function devSettings() {
  const answer = await fetch("/settings.json").catch(() => null);
  const settings = answer?.ok ? await answer.json() : {};
  return settings.publisher_token ? settings : null;
}

export function describe(problem) {
  const title = problem.title || "Refused";
  const status = problem.status ? `${problem.status} ` : "";
  return problem.detail ? `${status}${title}: ${problem.detail}` : `${status}${title}`;
}
