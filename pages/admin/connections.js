// The list of connections: filters, pages, disconnect, revoke.

import { elsewhere, get, post } from "./api.js";
import { button, confirmed, duration, element, h, number, row, say, transportName } from "./dom.js";

const SHOWN_MATCHERS = 3;

const form = element("connections-filter");
const rows = element("connections-rows");
const said = element("connections-said");
let next = null;
let asked = 0;

form.addEventListener("submit", (event) => {
  event.preventDefault();
  void show();
});
form.addEventListener("reset", () => setTimeout(show));
form.addEventListener("change", () => void show());
element("more-connections").addEventListener("click", () => void page());
element("disconnect-subject").addEventListener("click", () => void disconnectSubject(form.subject.value));

// Shows the first page of what the filters select. `filters` are set first, if they are given.
export async function show(filters) {
  if (filters) {
    for (const field of form.elements) if (field.name) field.value = filters[field.name] ?? "";
  }
  element("disconnect-subject").hidden = form.subject.value === "";
  say(said, "");
  next = null;
  await page(true);
}

async function page(first = false) {
  const mine = ++asked;
  const filters = Object.fromEntries(new FormData(form));
  let found = [];
  let total = 0;
  try {
    // A page may be empty although the list goes on.
    do {
      const answer = await get("connections", { ...filters, after: next, limit: 50 });
      if (mine !== asked) return;
      found = found.concat(answer.connections);
      ({ next, total } = answer);
    } while (next !== null && found.length === 0);
  } catch (error) {
    return say(said, error.message, false);
  }
  if (first) rows.replaceChildren();
  rows.append(...found.map(shown));
  element("no-connections").hidden = rows.children.length > 0;
  element("more-connections").hidden = next === null;
  const count = `${number(rows.children.length)}${next === null ? "" : "+"}`;
  element("connections-count").textContent = `${count} of ${number(total)} subscribers`;
}

function shown(connection) {
  const { token } = connection;
  const name = token?.subject ?? (token ? "unnamed" : "anonymous");
  const made = row(
    ["Subscriber", "", h("span", {}, token?.subject ? h("strong", { textContent: name }) : name), token ? h("span", { className: "hint", textContent: tokenText(token) }) : null],
    ["Transport", "nowrap", transportName(connection.transport), h("span", { className: "hint", textContent: `Mercure ${connection.dialect}` })],
    ["Address", "address", connection.address],
    ["Connected", "nowrap", duration(connection.connected_secs)],
    ["Behind", "nowrap", phase(connection)],
    ["Subscribes to", "", matchers(connection)],
    ["Actions", "", actions(connection, name, () => made.remove())],
  );
  return made;
}

function tokenText({ issuer, token_id, expires_at }) {
  const parts = [token_id ? `jti ${token_id}` : "no jti"];
  if (issuer) parts.push(`of ${issuer}`);
  if (expires_at) parts.push(`expires in ${duration(Math.max(0, expires_at - Date.now() / 1000))}`);
  return parts.join(" · ");
}

function phase({ phase, behind }) {
  if (phase === "live" && behind === 0) return h("span", { className: "tag good", textContent: "live" });
  if (phase === "joining" || phase === "closing") return h("span", { className: "tag", textContent: phase });
  return h("span", { className: "tag wait", textContent: `${number(behind)} behind` });
}

function matchers({ matchers, matchers_count }) {
  const items = matchers.slice(0, SHOWN_MATCHERS).map(({ type, pattern }) => {
    const text = pattern === "*" ? "every topic" : pattern;
    return h("li", {}, h("code", { textContent: text, title: text }), type === "exact" ? "" : h("span", { className: "hint", textContent: type }));
  });
  const more = matchers_count - items.length;
  if (more > 0) items.push(h("li", { className: "hint", textContent: `and ${number(more)} more` }));
  return h("ul", {}, ...items);
}

function actions(connection, name, onGone) {
  const disconnect = button("Disconnect", "plain small", () => void disconnectOne(connection, onGone), `Disconnect ${name} ${connection.id}`);
  const id = connection.token?.token_id;
  const revoke = id ? button("Revoke token", "plain small danger", () => void revokeToken(id, name), `Revoke token of ${name}`) : null;
  return h("div", { className: "buttons" }, disconnect, revoke);
}

async function disconnectOne({ id }, onGone) {
  try {
    await post("disconnect", { connection: id });
    say(said, `The connection ${id} was ended. Its client may come back.`, true);
  } catch (error) {
    return say(said, error.message, false);
  }
  onGone();
}

async function disconnectSubject(subject) {
  const title = `Disconnect ${subject}?`;
  const text = "All connections with tokens of this subject end. Their clients may come back: to keep them out, revoke their tokens.";
  if (!(await confirmed({ title, text, yes: "Disconnect" }))) return;
  await act(() => post("disconnect", { subject }), ({ disconnected }) => `${number(disconnected)} connections were ended.`);
}

async function revokeToken(id, name) {
  const title = "Revoke this token?";
  const text = `The token ${id} of ${name} is refused from now on, and what it opened ends.`;
  if (!(await confirmed({ title, text, yes: "Revoke" }))) return;
  await act(() => post("revoke", { id }), ({ disconnected }) => `The token is refused, and ${number(disconnected)} connections were ended.`);
}

async function act(does, tell) {
  try {
    const done = await does();
    await show();
    say(said, tell(done) + elsewhere(done), true);
  } catch (error) {
    say(said, error.message, false);
  }
}
