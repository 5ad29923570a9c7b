// Publishing: one POST request with a time limit.

import { list } from "./connection.js";
import { readProblem } from "./problem.js";
import { HubError, type Draft, type Environment, type ErrorCode, type Options, type PublishOptions } from "./types.js";

/** The time limit for the token and the hub's response together. */
const TIMEOUT_SECS = 30;

/** Publishes an update and returns its event id. Otherwise rejects with a {@link HubError}. */
export async function publish(
  url: URL,
  draft: Draft,
  { token, withCredentials, signal, key, timeoutSecs = TIMEOUT_SECS }: PublishOptions & Pick<Options, "token" | "withCredentials">,
  environment: Environment,
): Promise<string> {
  const abort = new AbortController();
  let timer: unknown;
  let onAbort = () => {};
  // A pending promise may ignore the signal: a token source does not know it.
  const given = new Promise<never>((_, reject) => {
    onAbort = () => reject(failure("aborted", "Aborted", "publishing was aborted"));
    if (signal?.aborted) onAbort();
    signal?.addEventListener("abort", onAbort);
    const crowded = environment.isHttp1(url) ? "; over HTTP/1 it may wait for connections that event streams of other tabs take" : "";
    const late = () => reject(failure("timeout", "No answer in time", `the hub did not answer within ${timeoutSecs} s${crowded}`));
    if (timeoutSecs > 0) timer = environment.setTimeout(late, timeoutSecs * 1000);
  });
  const credentials = withCredentials ? "include" : "same-origin";
  const send = async () => {
    const presented = await fetchToken(token);
    const headers: Record<string, string> = { "Content-Type": "application/x-www-form-urlencoded" };
    if (presented !== null) headers["Authorization"] = `Bearer ${presented}`;
    if (key) headers["Idempotency-Key"] = `"${key}"`;
    if (abort.signal.aborted) return "";
    const request = { method: "POST", headers, body: form(draft), credentials, signal: abort.signal } as const;
    try {
      const answer = await environment.fetch(url, request);
      if (answer.ok) return await answer.text();
      throw await readProblem(answer);
    } catch (error) {
      throw error instanceof HubError ? error : failure("unreachable", UNREACHED, UNREACHED);
    }
  };
  try {
    return await Promise.race(signal?.aborted ? [given] : [given, send()]);
  } finally {
    abort.abort();
    environment.clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}

const UNREACHED = "The hub cannot be reached";

/** Returns the token from a source. Rejects with a {@link HubError} if there is none. */
export async function fetchToken(source: Options["token"]): Promise<string | null> {
  try {
    return (typeof source === "function" ? await source() : source) ?? null;
  } catch (error) {
    throw failure("token", "No token", `no token: ${error instanceof Error ? error.message : error}`);
  }
}

/** Makes an error without a response of the hub. */
export function failure(code: ErrorCode, title: string, detail: string): HubError {
  return new HubError(code, 0, "", title, detail);
}

function form(draft: Draft): string {
  const form = new URLSearchParams();
  for (const topic of list(draft.topic)) form.append("topic", topic);
  if (draft.data !== undefined) form.append("data", typeof draft.data === "string" ? draft.data : JSON.stringify(draft.data));
  if (draft.private) form.append("private", "on");
  for (const name of ["id", "type", "retry"] as const) {
    if (draft[name] !== undefined) form.append(name, String(draft[name]));
  }
  return form.toString();
}
