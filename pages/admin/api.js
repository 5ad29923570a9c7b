// The admin API: the token of this tab, and requests with it.

const KEY = "tidings.admin.token";

let token = read();
let onSignedOut = () => {};

// `told` is called when the hub does not accept the token any more.
export function whenSignedOut(told) {
  onSignedOut = told;
}

export const isSignedIn = () => token !== "";

export function signIn(given) {
  token = given.trim();
  write(token);
}

export function signOut() {
  signIn("");
}

// A refusal of the hub: `status` and `name` for programs, the message for people.
export class Refused extends Error {
  constructor(status, { type = "", title = "", detail = "" }) {
    super(detail || title || `the hub answered ${status}`);
    this.status = status;
    this.name = type.split(":").at(-1);
  }
}

// Reads something: `parameters` without those that are empty.
export function get(name, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value != null);
  const query = new URLSearchParams(given).toString();
  return ask(query ? `${name}?${query}` : name, {});
}

// Has something done.
export function post(name, body = {}) {
  return ask(name, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}

// What follows the figures of one hub of a cluster.
export const elsewhere = ({ scope }) => (scope === "cluster" ? " The other hubs of the cluster were told." : "");

async function ask(path, options) {
  const headers = { ...options.headers, Authorization: `Bearer ${token}` };
  let answer;
  try {
    answer = await fetch(`/admin/v1/${path}`, { ...options, headers, cache: "no-store" });
  } catch {
    throw new Refused(0, { detail: "The hub does not answer: it has stopped, or this machine is not connected." });
  }
  const body = await answer.json().catch(() => ({}));
  if (answer.ok) return body;
  if (answer.status === 401) {
    signOut();
    onSignedOut("This is not the token of operators.");
  }
  throw new Refused(answer.status, body);
}

// Storage may be switched off: then the token is gone with the page.
function read() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

function write(text) {
  try {
    sessionStorage.setItem(KEY, text);
  } catch {}
}
