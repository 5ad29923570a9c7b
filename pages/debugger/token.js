// Reads what a JSON Web Token says, without checking it.

// Returns { header, claims }, or null if the text is no token that can be read.
export function readToken(text) {
  const parts = text.split(".");
  if (parts.length !== 3) return null;
  try {
    const [header, claims] = parts.slice(0, 2).map((part) => JSON.parse(decode(part)));
    return header && claims && typeof header === "object" && typeof claims === "object" ? { header, claims } : null;
  } catch {
    return null;
  }
}

function decode(part) {
  const binary = atob(part.replaceAll("-", "+").replaceAll("_", "/"));
  return new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(binary, (character) => character.charCodeAt(0)));
}

// Returns { tone, words }: what to say about a token at a time in Unix seconds.
export function describeToken(text, found, now) {
  if (!text) return { tone: "", words: "No token: the hub sees an anonymous subscriber." };
  if (!found) return { tone: "bad", words: "Not a JWT: expected three parts separated by dots." };
  const { exp } = found.claims;
  if (typeof exp !== "number") return { tone: "bad", words: "The token has no expiry; the hub will refuse it." };
  const until = new Date(exp * 1000).toLocaleString();
  return exp <= now
    ? { tone: "bad", words: `Expired ${span(now - exp)} ago (${until}).` }
    : { tone: "good", words: `Valid for ${span(exp - now)} (until ${until}).` };
}

function span(seconds) {
  if (seconds < 120) return `${Math.ceil(seconds)} seconds`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} minutes`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} hours`;
  return `${Math.round(seconds / 86400)} days`;
}
