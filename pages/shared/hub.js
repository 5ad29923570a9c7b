// What all pages need to know about the hub: its settings, and how its refusals are said.

// Returns the settings of a hub started with `tidings dev`, or null: a hub in production gives no tokens away.
export async function devSettings() {
  const answer = await fetch("/settings.json").catch(() => null);
  const settings = answer?.ok ? await answer.json() : {};
  return settings.publisher_token ? settings : null;
}

// Says what a HubError of the client is about, in one line.
export function describe({ status, title, message }) {
  const name = `${status || ""} ${title || "Refused"}`.trim();
  return message && message !== title ? `${name}: ${message}` : name;
}
