// What stands in the forms, as a link and as a command line. A link never holds a token; a command line does, since it would
// not work without.

const TEXTS = { cursor: "cursor", reader: "reader" }; // of the form for subscribing
const DRAFT = ["data", "id", "type", "retry"]; // of the form for publishing

// Returns the fragment that `restore` reads.
export function fragment(matchers, subscribing, publishing) {
  const parameters = new URLSearchParams(matchers);
  for (const [name, field] of Object.entries(TEXTS)) {
    if (subscribing[field].value) parameters.append(name, subscribing[field].value);
  }
  for (const topic of topicsOf(publishing)) parameters.append("topic", topic);
  for (const name of DRAFT) {
    if (publishing[name].value) parameters.append(name, publishing[name].value);
  }
  if (publishing.private.checked) parameters.append("private", "on");
  return `#${parameters}`;
}

// Fills the forms from a fragment; returns its matchers, as [kind, pattern].
export function restore(text, subscribing, publishing) {
  const parameters = new URLSearchParams(text.replace(/^#/, ""));
  const matchers = [...parameters].filter(([name]) => name === "match" || name === "match_urlpattern");
  for (const [name, field] of Object.entries(TEXTS)) {
    if (parameters.has(name)) subscribing[field].value = parameters.get(name);
  }
  if (parameters.has("topic")) publishing.topics.value = parameters.getAll("topic").join("\n");
  for (const name of DRAFT) {
    // What was left empty is not in the fragment.
    if (parameters.has("topic")) publishing[name].value = parameters.get(name) ?? "";
  }
  publishing.private.checked = parameters.has("private");
  return matchers;
}

export function topicsOf(publishing) {
  return publishing.topics.value.split("\n").map((topic) => topic.trim()).filter(Boolean);
}

// Returns a command line that subscribes as the form does, by an event stream.
export function curlToSubscribe(url, token) {
  return ["curl -N", quoted(url), ...bearer(token)].join(" ");
}

// Returns a command line that publishes what the form does.
export function curlToPublish(hub, publishing, token) {
  const pairs = topicsOf(publishing).map((topic) => ["topic", topic]);
  for (const name of DRAFT) {
    if (publishing[name].value) pairs.push([name, publishing[name].value]);
  }
  if (publishing.private.checked) pairs.push(["private", "on"]);
  const fields = pairs.map(([name, value]) => `--data-urlencode ${quoted(`${name}=${value}`)}`);
  return ["curl", quoted(hub), ...bearer(token), ...fields].join(" \\\n  ");
}

function bearer(token) {
  return token ? [`-H ${quoted(`Authorization: Bearer ${token}`)}`] : [];
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
