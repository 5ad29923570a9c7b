// Three hubs that are one: starts an engine, the hubs and HAProxy, publishes numbers without end, and serves a page that
// counts them, with buttons that kill and start each part.
//
// TIDINGS is the hub's program, ENGINE the engine's (redis-server or valkey-server), PORT the port of the page. Everything
// lives in a folder that is removed at the end.

import { spawn } from "node:child_process";
import { createHmac, randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const HUBS = ["one", "two", "three"];
const TOPIC = "https://example.com/counter";
const ISSUER = "urn:example:cluster";
const PATH = "/.well-known/mercure";
const PUBLISH_MS = Number(process.env.PUBLISH_MS ?? 50);
const RETRY_MS = 100;

const folder = mkdtempSync(join(tmpdir(), "tidings-cluster-"));
const key = randomBytes(32).toString("hex");
const port = Number(process.env.PORT ?? 8080) || (await freePort());
const origin = `http://localhost:${port}`;
const counts = { published: 0, retries: 0 };

// A program that can be killed and started again, as often as one likes.
class Part {
  #child = null;
  #command;
  #environment;

  constructor(name, port, command, environment = {}) {
    Object.assign(this, { name, port });
    this.#command = command;
    this.#environment = environment;
  }

  get isRunning() {
    return this.#child !== null;
  }

  start() {
    if (this.isRunning) return;
    const [program, ...words] = this.#command;
    const child = spawn(program, words, { env: { PATH: process.env.PATH, ...this.#environment }, stdio: ["ignore", "ignore", "pipe"] });
    let last = "";
    child.stderr.setEncoding("utf8").on("data", (text) => (last = (last + text).slice(-2000)));
    child.on("exit", (code) => {
      if (this.#child === child) this.#child = null;
      if (code) console.error(`${this.name} ended with status ${code}: ${last}`);
    });
    this.#child = child;
  }

  async kill() {
    const child = this.#child;
    if (child === null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  }
}

// Returns a port that nobody uses at the moment.
async function freePort() {
  const server = createTcpServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port: free } = server.address();
  server.close();
  await once(server, "close");
  return free;
}

function find(names, help) {
  const places = [...process.env.PATH.split(delimiter), "/usr/sbin"];
  const found = names.flatMap((name) => (name.includes("/") ? [name] : places.map((place) => join(place, name)))).find(existsSync);
  if (found) return found;
  console.error(`There is no ${names.join(" or ")}: ${help}`);
  process.exit(1);
}

function enginePart(port) {
  const program = find(process.env.ENGINE ? [process.env.ENGINE] : ["valkey-server", "redis-server"], "install Valkey or Redis, such as Debian's package redis-server.");
  const data = join(folder, "engine");
  mkdirSync(data);
  const words = ["--bind", "127.0.0.1", "--port", port, "--dir", data, "--appendonly", "yes", "--save", ""];
  return new Part("engine", port, [program, ...words.map(String)]);
}

function hubPart(name, port, adminPort, enginePort) {
  const built = fileURLToPath(new URL("../../target/debug/tidings", import.meta.url));
  const program = find([process.env.TIDINGS ?? "tidings", built], "build it with `cargo build`, or set TIDINGS.");
  const [address, admin, engine] = [port, adminPort, enginePort].map((each) => `127.0.0.1:${each}`);
  const [key, peer, data] = ["hub.key", "peer.token", name].map((each) => join(folder, each));
  const values = { origin, key, peer, issuer: ISSUER, address, admin, data, engine, name };
  const config = join(folder, `${name}.toml`);
  const text = readFileSync(new URL("hub.toml", import.meta.url), "utf8");
  writeFileSync(config, text.replace(/\{\{(\w+)\}\}/g, (_, each) => values[each]));
  return new Part(name, port, [program, "serve", "--config", config]);
}

function proxyPart(application, hubs) {
  const program = find(["haproxy"], "install HAProxy, such as Debian's package haproxy.");
  const addresses = hubs.map(({ name, port: at }) => [name.toUpperCase(), `127.0.0.1:${at}`]);
  const environment = { ...Object.fromEntries(addresses), WEB: `127.0.0.1:${port}`, APPLICATION: `127.0.0.1:${application}` };
  return new Part("HAProxy", port, [program, "-f", fileURLToPath(new URL("haproxy.cfg", import.meta.url))], environment);
}

function token() {
  const now = Math.floor(Date.now() / 1000);
  const detail = { type: "https://mercure.rocks/authorization-detail", actions: ["publish"], topics: [{ match: TOPIC }] };
  const claims = { iss: ISSUER, aud: origin + PATH, sub: "counter", client_id: "counter", jti: randomUUID(), iat: now, exp: now + 60 };
  const parts = [{ typ: "at+jwt", alg: "HS256" }, { ...claims, authorization_details: [detail] }];
  const text = parts.map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  return `${text}.${createHmac("sha256", key).update(text).digest("base64url")}`;
}

// Publishes 1, 2, 3 … by any hub. A number is sent again until it is acknowledged: its key makes it one update however
// often that is, also if a hub stored it and died before it answered.
async function publishForEver() {
  for (;;) {
    const next = counts.published + 1;
    const headers = { Authorization: `Bearer ${token()}`, "Idempotency-Key": `"${next}"` };
    const body = new URLSearchParams({ topic: TOPIC, data: String(next) });
    const answer = await fetch(origin + PATH, { method: "POST", headers, body, signal: AbortSignal.timeout(20_000) }).catch(() => null);
    await answer?.text().catch(() => null);
    if (answer?.ok) counts.published = next;
    else counts.retries += 1;
    await pause(answer?.ok ? PUBLISH_MS : RETRY_MS);
  }
}

const isReady = (hub) => fetch(`http://127.0.0.1:${hub.port}/health/ready`).then(({ ok }) => ok, () => false);

const describe = async (part, ready) => ({ name: part.name, running: part.isRunning, ready: part.isRunning && (await ready(part)) });

async function respond(request, response) {
  const { pathname } = new URL(request.url, origin);
  const [, action, name] = pathname.split("/");
  const part = parts.find((each) => each.name === name);
  if (pathname === "/") {
    response.writeHead(200, { "Content-Type": "text/html; charset=utf-8" }).end(readFileSync(new URL("page.html", import.meta.url)));
  } else if (pathname === "/state") {
    const all = await Promise.all(parts.map((each) => describe(each, each === engine ? () => true : isReady)));
    response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify({ ...counts, parts: all }));
  } else if (request.method === "POST" && part && ["kill", "start"].includes(action)) {
    await part[action]();
    response.writeHead(204).end();
  } else {
    response.writeHead(404).end("not found");
  }
}

writeFileSync(join(folder, "hub.key"), key, { mode: 0o600 });
writeFileSync(join(folder, "peer.token"), randomBytes(32).toString("hex"), { mode: 0o600 });
const engine = enginePart(await freePort());
const hubs = [];
for (const name of HUBS) hubs.push(hubPart(name, await freePort(), await freePort(), engine.port));
const parts = [...hubs, engine];
const application = createServer((request, response) => void respond(request, response)).listen(0, "127.0.0.1");
await once(application, "listening");
const proxy = proxyPart(application.address().port, hubs);

const all = [...parts, proxy];
async function end(status) {
  await Promise.all(all.map((part) => part.kill()));
  rmSync(folder, { recursive: true, force: true });
  process.exit(status);
}
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => void end(0));
for (const part of all) part.start();
while (!(await Promise.all(hubs.map(isReady))).every(Boolean)) {
  if (all.some((part) => !part.isRunning)) await end(1);
  await pause(RETRY_MS);
}
void publishForEver();
console.log(`Open ${origin}`);
