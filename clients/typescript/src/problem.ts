// Parses refusals.

import { HubError } from "./types.js";

/**
 * Parses the problem document of a response (RFC 9457). Without one, the status names the problem.
 */
export async function readProblem(answer: Response): Promise<HubError> {
  let document: { type?: unknown; title?: unknown; detail?: unknown } = {};
  try {
    document = JSON.parse(await answer.text());
  } catch {
    // This is not a problem document, perhaps the page of a proxy.
  }
  return problem(answer.status, document, retryAfter(answer));
}

/** Makes an error from a problem document. */
export function problem(status: number, document: object | null, retryAfterMs: number | null): HubError {
  const { type, title, detail } = (document ?? {}) as Record<string, unknown>;
  const texts = [detail, title].filter((text): text is string => typeof text === "string" && text !== "");
  const text = texts[0] ?? `the hub answered ${status}`;
  return new HubError("refused", status, typeof type === "string" ? type : "", typeof title === "string" ? title : "", text, retryAfterMs);
}

/** Returns whether a retry can help: the hub or its proxy is busy or unavailable. */
export function isPassing(status: number): boolean {
  return status === 408 || status === 429 || status >= 500;
}

function retryAfter(answer: Response): number | null {
  const seconds = Number(answer.headers.get("Retry-After") ?? Number.NaN);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : null;
}
