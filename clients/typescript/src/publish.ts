// Publishing: one POST.

import { readProblem } from "./problem.js";
import { HubError, type Draft, type Environment } from "./types.js";
import { list } from "./connection.js";

const UNREACHED = "The hub cannot be reached";

/** Publishes an update and returns its event id. Throws a {@link HubError} if the hub refuses. */
export async function publish(
  url: URL,
  draft: Draft,
  token: string | null,
  withCredentials: boolean,
  environment: Environment,
): Promise<string> {
  const form = new URLSearchParams();
  for (const topic of list(draft.topic)) form.append("topic", topic);
  if (draft.data !== undefined) form.append("data", typeof draft.data === "string" ? draft.data : JSON.stringify(draft.data));
  if (draft.private) form.append("private", "on");
  if (draft.id !== undefined) form.append("id", draft.id);
  if (draft.type !== undefined) form.append("type", draft.type);
  if (draft.retry !== undefined) form.append("retry", String(draft.retry));
  const headers: Record<string, string> = { "Content-Type": "application/x-www-form-urlencoded" };
  if (token !== null) headers["Authorization"] = `Bearer ${token}`;
  const credentials = withCredentials ? "include" : "same-origin";
  const request = { method: "POST", headers, body: form.toString(), credentials } as const;
  const answer = await environment.fetch(url, request).catch(() => {
    throw new HubError(0, "", UNREACHED, UNREACHED);
  });
  if (!answer.ok) throw await readProblem(answer);
  return answer.text();
}
