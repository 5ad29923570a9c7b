// What all pages need to know about the hub: its settings, how it gives tokens away, and how its refusals are said.

// Returns the settings; none if the hub cannot be reached.
export async function settings() {
  const answer = await fetch("/settings.json").catch(() => null);
  return answer?.ok ? answer.json() : {};
}

// Returns the settings of a hub started with `tidings dev`, or null: a hub in production gives no tokens away.
export async function devSettings() {
  const found = await settings();
  return found.publisher_token ? found : null;
}

// `wish`: { publish, subscribe, payload, ttl_secs }, the first two lists of { match, match_type }. Returns the token.
export async function makeToken(wish) {
  const answer = await fetch("/dev/token", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(wish),
  });
  if (!answer.ok) {
    const { title, detail } = await answer.json().catch(() => ({}));
    throw new Error(describe({ status: answer.status, title, message: detail }));
  }
  const { token } = await answer.json();
  return token;
}

// Says what a HubError of the client is about, in one line.
export function describe({ status, title, message }) {
  const name = `${status || ""} ${title || "Refused"}`.trim();
  return message && message !== title ? `${name}: ${message}` : name;
}
