// What the hub is and how it does: live figures, and facts.

import { get } from "./api.js";
import { Chart, bar } from "./chart.js";
import { bytes, compact, duration, element, h, number, transportName } from "./dom.js";

const SLOTS_MIN = 60; // seconds of a chart, until the hub has seen more
const each = (value) => `${number(value)}/s`;

const CHARTS = [
  ["published", new Chart("Updates published", each)],
  ["delivered", new Chart("Updates delivered", each)],
  ["delivered_bytes", new Chart("Data delivered", (value) => `${bytes(value)}/s`)],
  ["subscribers", new Chart("Subscribers", number)],
  ["refused", new Chart("Refused", each, { bad: true })],
  ["lags", new Chart("Fell behind", each, { bad: true })],
];

element("charts").append(...CHARTS.map(([, chart]) => chart.figure));

export async function drawCharts() {
  const { samples } = await get("rates");
  const slots = Math.max(SLOTS_MIN, samples.length);
  for (const [name, chart] of CHARTS) chart.draw(samples.map((sample) => sample[name]), slots);
}

export function drawFacts(state) {
  element("where").textContent = `${state.hub} · version ${state.version} · up for ${duration(state.uptime_secs)}`;
  const unready = element("unready");
  unready.hidden = state.ready;
  if (!state.ready) unready.textContent = `Not ready: ${state.reason}`;

  const most = Math.max(...Object.values(state.subscribers_by_transport), 1);
  const bars = Object.entries(state.subscribers_by_transport).flatMap(([transport, count]) => [
    h("dt", { textContent: transportName(transport) }),
    h("dd", {}, bar(count / most)),
    h("dd", { textContent: number(count) }),
  ]);
  element("transports").replaceChildren(...bars);

  const { history } = state;
  pairs("history-facts", {
    kept: history.kind === "none" ? "nothing" : `in ${history.kind === "file" ? "a file" : "memory"}`,
    updates: compact(history.stored_updates),
    size: bytes(history.stored_bytes),
    positions: history.stored_updates ? `${history.oldest_position} to ${history.last_position}` : "–",
    "last update": history.last_ms ? `${duration(Math.max(0, (state.time_ms - history.last_ms) / 1000))} ago` : "–",
    "removed by retention": compact(history.removed),
    purged: compact(history.purged),
  });
  pairs("process", {
    connections: `${number(state.connections)} of ${compact(state.connections_max)}`,
    "memory of peers": `${bytes(state.peer_memory_bytes)} of ${bytes(state.peer_memory_bytes_max)}`,
    shards: state.shards,
    presence: state.presence ? "on" : "off",
    "revoked tokens": number(state.revoked_tokens),
    "told of a gap": compact(state.totals.gaps),
  });
  const { relay } = state;
  pairs("cluster", relay.cluster
    ? { node: relay.cluster.node ?? "–", standing: relay.cluster.standing.replace("_", " "), behind: number(relay.cluster.behind), waiting: number(relay.queued_updates) }
    : { cluster: "none: this hub is alone", waiting: `${number(relay.queued_updates)} updates` });
}

function pairs(id, values) {
  const items = Object.entries(values).flatMap(([name, value]) => [h("dt", { textContent: name }), h("dd", { textContent: value })]);
  element(id).replaceChildren(...items);
}
