// Reads refusals.

import { HubError } from "./types.js";

/** Reads the problem document of an answer (RFC 9457); without one, the status has to say it. */
export async function readProblem(answer: Response): Promise<HubError> {
  let document: { type?: unknown; title?: unknown; detail?: unknown } = {};
  try {
    document = JSON.parse(await answer.text());
  } catch {
    // Not a problem document: a proxy's page, perhaps.
  }
  return problem(answer.status, document, retryAfter(answer));
}

/** Makes an error of a problem document. */
export function problem(status: number, document: object | null, retryAfterMs: number | null): HubError {
  const { type, title, detail } = (document ?? {}) as Record<string, unknown>;
  const texts = [detail, title].filter((text): text is string => typeof text === "string" && text !== "");
  const text = texts[0] ?? `the hub answered ${status}`;
  return new HubError("refused", status, typeof type === "string" ? type : "", typeof title === "string" ? title : "", text, retryAfterMs);
}

/** Returns whether asking again in the same way can help: the hub or its proxy is busy or away. */
export function isPassing(status: number): boolean {
  return status === 408 || status === 429 || status >= 500;
}

function retryAfter(answer: Response): number | null {
  const seconds = Number(answer.headers.get("Retry-After") ?? Number.NaN);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : null;
}
