// What the examples have in common: tokens, publishing, and a small server. Node.js alone, no packages.
//
// HUB is the hub's URL, KEY_FILE the file with its key, PORT the port of the example. The defaults are those of
// `tidings dev`, started in the same folder.

import { createHmac, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";

export const HUB = process.env.HUB ?? "http://localhost:4400/.well-known/mercure";
const KEY = readFileSync(process.env.KEY_FILE ?? "tidings-data/dev.key", "utf8").trim();
const PORT = Number(process.env.PORT ?? 3000);
const ISSUER = "urn:tidings:dev";
const TOKEN_SECS = 3600;
const PUBLISH_SECS = 60;
const BODY_CHARS_MAX = 1_000_000;

// A topic is a name, or an object { match, match_type }. Presence shows the payload to those who may see who is there.
function makeToken(subject, action, topics, payload, seconds = TOKEN_SECS) {
  const now = Math.floor(Date.now() / 1000);
  const matchers = [topics].flat().map((topic) => (typeof topic === "string" ? { match: topic } : topic));
  const detail = { type: "https://mercure.rocks/authorization-detail", actions: [action], topics: matchers, payload };
  const claims = { iss: ISSUER, aud: HUB, sub: subject, client_id: "example", jti: randomUUID(), iat: now, exp: now + seconds };
  const parts = [{ typ: "at+jwt", alg: "HS256" }, { ...claims, authorization_details: [detail] }];
  const text = parts.map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  return `${text}.${createHmac("sha256", KEY).update(text).digest("base64url")}`;
}

// Publishes to a topic, or to several (an array), and returns the event id: the cursor from which a page follows what comes later.
export async function publish(topics, data, fields = {}) {
  const headers = { Authorization: `Bearer ${makeToken("example", "publish", "*", undefined, PUBLISH_SECS)}` };
  const body = new URLSearchParams({ data: JSON.stringify(data), ...fields });
  for (const topic of [topics].flat()) body.append("topic", topic);
  const answer = await fetch(HUB, { method: "POST", headers, body, signal: AbortSignal.timeout(10_000) });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`the hub answered ${answer.status}: ${text}`);
  return text;
}

// Returns the header fields that let a browser receive the private updates of these topics.
export function allow(user, topics, payload) {
  const token = makeToken(user, "subscribe", topics, payload);
  const attributes = `Path=${new URL(HUB).pathname}; Max-Age=${TOKEN_SECS}; HttpOnly; SameSite=Strict`;
  return { "Set-Cookie": `mercure_access_token=${token}; ${attributes}` };
}

// Returns a page from a file beside the example; {{names}} in it are replaced.
export function page(base, values = {}, headers = {}) {
  const names = { hub: HUB, client: new URL("/tidings.js", HUB).href, ...values };
  const text = readFileSync(new URL("page.html", base), "utf8");
  // As JSON, so that a value cannot end the script; no "<" can end its element.
  const quoted = (name) => JSON.stringify(names[name]).replaceAll("<", "\\u003c");
  return new Response(text.replace(/\{\{(\w+)\}\}/g, (_, name) => quoted(name)), {
    headers: { "Content-Type": "text/html; charset=utf-8", ...headers },
  });
}

const STYLE = readFileSync(new URL("style.css", import.meta.url));
const COMMON = { "GET /style.css": () => new Response(STYLE, { headers: { "Content-Type": "text/css" } }) };

// Serves the example's own routes: "METHOD /path" and a function of the URL and the form, which returns a Response.
export function serve(own) {
  const routes = { ...COMMON, ...own };
  const server = createServer(async (request, response) => {
    const url = new URL(request.url, "http://localhost");
    try {
      const handler = routes[`${request.method} ${url.pathname}`] ?? routes[`${request.method} *`];
      const answer = handler ? await handler(url, await form(request)) : new Response("not found", { status: 404 });
      response.writeHead(answer.status, Object.fromEntries(answer.headers));
      response.end(Buffer.from(await answer.arrayBuffer()));
    } catch (error) {
      console.error(error);
      response.writeHead(500).end(error.message);
    }
  });
  server.listen(PORT, "localhost", () => console.log(`Open http://localhost:${server.address().port}`));
}

async function form(request) {
  let text = "";
  for await (const piece of request.setEncoding("utf8")) {
    text += piece;
    if (text.length > BODY_CHARS_MAX) throw new Error("the form is too long");
  }
  return new URLSearchParams(text);
}
