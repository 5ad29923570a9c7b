// Who gets an update, and why not.

import { post } from "./api.js";
import { element, h, number, transportName } from "./dom.js";

const answer = element("explained");

element("explain").addEventListener("submit", (event) => {
  event.preventDefault();
  void explain();
});

// Sets the topic that is asked about.
export function about(topic) {
  element("explain-topics").value = topic;
}

async function explain() {
  const lines = element("explain-topics").value.split("\n").map((line) => line.trim());
  const question = { topics: lines.filter(Boolean), private: element("explain-private").checked };
  const subject = element("explain-subject").value;
  const token = element("explain-token").value.trim();
  if (subject) question.subject = subject;
  if (token) question.token = token;
  try {
    show(await post("explain", question), question);
  } catch (error) {
    answer.replaceChildren(h("p", { className: "said-by-hub bad", textContent: error.message }));
  }
}

function show(told, { subject }) {
  const counters = [
    ["receive it", told.receive],
    ["do not ask for it", told.not_selected],
    ["may not read it", told.not_granted],
  ];
  if (told.echo) counters.push(["are its publishers", told.echo]);
  const whose = subject ? `Connections of ${subject}` : "All connections";
  const list = told.connections.map(reason);
  const shown = told.connections.length;
  const total = told.receive + told.not_selected + told.not_granted + told.echo;
  answer.replaceChildren(
    ...(told.token ? of(told.token) : []),
    h("h2", { textContent: whose }),
    h("dl", { className: "counters" }, ...counters.map(([name, count]) => h("div", {}, h("dt", { textContent: name }), h("dd", { textContent: number(count) })))),
    total === 0 ? h("p", { className: "hint", textContent: "Nobody is connected." }) : h("ul", { className: "reasons" }, ...list),
    ...(total > shown ? [h("p", { className: "hint", textContent: `${number(shown)} of ${number(total)} are listed.` })] : []),
  );
}

function of({ subscribe, publish }) {
  const parts = [h("h2", { textContent: "The token" })];
  for (const [verb, role] of [["read it", subscribe], ["publish it", publish]]) {
    const tag = h("span", { className: `tag ${role.allowed ? "good" : "bad"}`, textContent: role.allowed ? `may ${verb}` : `may not ${verb}` });
    parts.push(h("p", { className: "verdict" }, tag, h("span", { textContent: role.why })));
  }
  const found = subscribe.identity ?? publish.identity;
  if (found) {
    const grants = (name, role) => `${name}: ${role.grants.map(({ pattern }) => (pattern === "*" ? "every topic" : pattern)).join(", ") || "nothing"}`;
    const text = [`subject ${found.subject ?? "–"}`, `jti ${found.token_id ?? "–"}`, grants("reads", subscribe), grants("publishes", publish)].join(" · ");
    parts.push(h("p", { className: "hint", textContent: text }));
  }
  return parts;
}

function reason(connection) {
  const good = connection.verdict === "receives";
  const name = connection.token?.subject ?? (connection.token ? "unnamed" : "anonymous");
  return h("li", {},
    h("span", { className: `tag ${good ? "good" : connection.verdict === "not_granted" ? "bad" : ""}`, textContent: good ? "receives" : "does not" }),
    " ", h("strong", { textContent: name }), ` ${connection.address}, ${transportName(connection.transport)}`,
    h("span", { className: "hint", textContent: connection.why }));
}
