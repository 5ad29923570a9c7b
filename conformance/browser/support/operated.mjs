// A hub with an admin API, and people who use it.

import { WebSocket } from "ws";
import { ServedHub } from "./served.mjs";
import { newToken } from "./tokens.mjs";

export const OPERATOR = "7f3a91c05be2468d7f3a91c05be2468d";
const SECRET = "0123456789abcdef0123456789abcdef";
const ISSUER = "https://issuer.example.com";
const HUB = "https://hub.example.com/.well-known/mercure";
const PATH = "/.well-known/mercure";
const DETAIL = "https://mercure.rocks/authorization-detail";

export const SETTINGS = `
[hub]
public_url = "${HUB}"
[subscribe]
anonymous = true
[server]
drain_secs = 1
[[auth.issuers]]
issuer = "${ISSUER}"
key = "${SECRET}"
`;

export async function startOperated(t) {
  const hub = await ServedHub.start(t, SETTINGS, `token = "${OPERATOR}"`);
  return new Operated(t, hub);
}

class Operated {
  #t;

  constructor(t, hub) {
    this.#t = t;
    this.hub = hub;
  }

  token(subject, topics = ["*"], jti = `token of ${subject}`) {
    const now = Math.floor(Date.now() / 1000);
    const details = [{ type: DETAIL, actions: ["publish", "subscribe"], topics: topics.map((match) => ({ match })) }];
    return newToken(SECRET, { iss: ISSUER, aud: HUB, sub: subject, client_id: "tests", iat: now, exp: now + 3600, jti, authorization_details: details });
  }

  publish(topic, data, more = {}) {
    return this.hub.publish(PATH, this.token("publisher"), { topic, data, ...more });
  }

  // Subscribes until the test ends. Returns a promise of the end of the stream.
  async subscribe(query, token) {
    const stop = new AbortController();
    this.#t.after(() => stop.abort());
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    const answer = await fetch(`${this.hub.origin}${PATH}?${query}`, { headers, signal: stop.signal });
    const ended = (async () => {
      try {
        for await (const _piece of answer.body);
      } catch {}
    })();
    return { ended };
  }

  async websocket(query, token) {
    const socket = new WebSocket(`${this.hub.origin.replace("http", "ws")}${PATH}?${query}`, { headers: { Authorization: `Bearer ${token}` } });
    this.#t.after(() => socket.terminate());
    await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
    return { ended: new Promise((resolve) => socket.once("close", resolve)) };
  }
}
