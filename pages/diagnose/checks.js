// What is tried, one function for each test. Each returns { result, found, advice }: `result` is "passes", "limited" or
// "fails", `found` says what was seen, `advice` what it means and what whoever runs the hub can do.

const ROUND_TRIPS = 5;
const PATIENCE_MS = 10000;
const POLL_SECS = 3;

// As the hub's `diagnosis.rs` sends them.
const EVENTS = 5;
const EVENTS_EVERY_MS = 250;

export async function hubAnswers(hub) {
  const address = `${hub}?match=${encodeURIComponent("urn:tidings:diagnose")}`;
  const { answer, ms, error } = await timed((signal) => ask(address, { signal, headers: { Prefer: "wait=0" } }));
  if (error) return fails(`No answer after ${seconds(ms)}: ${error}.`, "The page came through, the hub's own path did not: a proxy must pass it on, with everything below it.");
  // A refusal for want of a token comes from the hub as well.
  const type = answer.headers.get("Content-Type") ?? "";
  const own = answer.ok ? type.startsWith("application/json") : type.startsWith("application/problem+json");
  if (own) return passes(`${hub} answers in ${Math.round(ms)} ms${answer.status === 401 ? ": it wants a token, which is not tested here" : ""}.`);
  return fails(`${hub} is answered with ${answer.status} and ${type || "no type"}, which is not how the hub answers.`, "Something before the hub answers in its place: look for a rule of the proxy for this path.");
}

export async function roundTrips(base) {
  const times = [];
  let seen;
  let ahead = Infinity;
  for (let round = 0; round < ROUND_TRIPS; round += 1) {
    const { answer, ms, error } = await timed(async (signal) => {
      const answer = await ask(`${base}request?${round}`, { signal });
      return { ok: answer.ok, status: answer.status, json: answer.ok ? await answer.json() : null };
    });
    if (error || !answer.ok) {
      return { ...fails(`Request ${round + 1} of ${ROUND_TRIPS} failed: ${error ?? `status ${answer.status}`}.`, "Something on the way cuts single requests. The hub's log says whether they arrived."), seen };
    }
    seen = answer.json;
    times.push(ms);
    // The fastest answer says most about the hub's clock.
    if (ms === Math.min(...times)) ahead = seen.time_ms - (Date.now() - ms / 2);
  }
  times.sort((a, b) => a - b);
  const [median, slowest] = [times[Math.floor(times.length / 2)], times.at(-1)];
  const found = `${ROUND_TRIPS} requests: median ${median.toFixed(0)} ms, slowest ${slowest.toFixed(0)} ms. ${clock(ahead)}`;
  if (Math.abs(ahead) > 60_000) {
    return { ...limited(found, "The clocks differ by more than a minute: tokens may look expired, or not yet valid. Set the clock of this machine, or of the hub's."), seen };
  }
  if (median > 1000) return { ...limited(found, "Updates will come late by about this much, whatever carries them."), seen };
  return { ...passes(found), seen };
}

export function protocol(base, seen) {
  const entry = performance.getEntriesByType("resource").findLast(({ name }) => name.includes(`${base}request`));
  const here = { h2: "HTTP/2", h3: "HTTP/3", "http/1.1": "HTTP/1.1", "http/1.0": "HTTP/1.0" }[entry?.nextHopProtocol] ?? "not told";
  const by = seen.proxied.length > 0 ? `There is a proxy in between: it adds ${seen.proxied.join(", ")}.` : "No proxy detected (no Via, Forwarded or X-Forwarded-* header).";
  const found = `${here} at the browser, ${seen.http} at the hub. ${by}`;
  if (here === "HTTP/1.1" || here === "HTTP/1.0") {
    return limited(found, "With HTTP/1 a browser opens six connections to one host: a visitor with more than six tabs that follow events waits. HTTP/2 (which needs TLS) has no such limit, and neither has a connection that tabs share.");
  }
  return passes(found);
}

export async function eventStream(base) {
  const begun = performance.now();
  const arrived = [];
  const { answer, ms, error } = await timed(async (signal) => {
    const answer = await ask(`${base}events`, { signal, headers: { Accept: "text/event-stream" } });
    const opened = performance.now() - begun;
    if (!answer.ok || !answer.body) return { status: answer.status, opened };
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      text += value;
      const whole = text.split("\n\n").length - 1;
      while (arrived.length < whole) arrived.push(performance.now() - begun);
    }
    return { status: answer.status, opened };
  });
  const buffered = "Something on the way collects the stream and passes it on in one piece. In nginx proxy_buffering off passes it on as it comes. Other proxies, virus scanners and compression have a switch of their own. TLS keeps most of them out.";
  if (error && arrived.length === 0) return fails(`Nothing arrived for ${seconds(ms)}: ${error}.`, buffered);
  if (error) return fails(`${arrived.length} of ${EVENTS} events arrived, then nothing: ${error}.`, "The stream was cut: look for a time limit of the proxy for answers, shorter than the hub's heartbeat (in nginx proxy_read_timeout).");
  if (answer.status !== 200) return fails(`The stream is answered with ${answer.status}.`, "A proxy must pass the hub's path on, with everything below it.");
  if (arrived.length < EVENTS) return fails(`The stream ended after ${arrived.length} of ${EVENTS} events.`, "The stream was cut: look for a time limit of the proxy for answers.");
  const span = arrived.at(-1) - arrived[0];
  const meant = (EVENTS - 1) * EVENTS_EVERY_MS;
  const gaps = arrived.slice(1).map((at, index) => Math.round(at - arrived[index]));
  if (span < meant / 2) return fails(`${EVENTS} events, sent over ${seconds(meant)}, arrived within ${Math.round(span)} ms: they are held back.`, buffered);
  return passes(`Opened after ${Math.round(answer.opened)} ms; events sent ${EVENTS_EVERY_MS} ms apart arrived ${Math.min(...gaps)} to ${Math.max(...gaps)} ms apart.`);
}

export function webSocket(base) {
  const url = new URL(`${base}echo`, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const advice = `Proxies pass a WebSocket on only if they are told to: in nginx by proxy_http_version 1.1, proxy_set_header Upgrade $http_upgrade and a field Connection: upgrade, for the hub's path.${url.protocol === "ws:" ? " Without TLS, firewalls and virus scanners stop it too." : ""}`;
  return new Promise((resolve) => {
    const begun = performance.now();
    const since = () => Math.round(performance.now() - begun);
    const sent = "Grüße ".repeat(200);
    let opened = 0;
    let socket;
    const end = (outcome) => {
      clearTimeout(timer);
      if (socket) socket.onclose = socket.onerror = null;
      socket?.close();
      resolve(outcome);
    };
    const timer = setTimeout(() => {
      end(fails(opened ? `Opened after ${opened} ms, but what was sent did not come back.` : `Not opened after ${seconds(PATIENCE_MS)}.`, advice));
    }, PATIENCE_MS);
    try {
      socket = new WebSocket(url);
    } catch (error) {
      end(fails(`The browser refuses to open one: ${error.message}.`, "A setting or an extension of the browser forbids it."));
      return;
    }
    socket.onopen = () => {
      opened = since();
      socket.send(sent);
    };
    socket.onmessage = ({ data }) => {
      const whole = data === sent;
      const came = since() - opened;
      end(whole ? passes(`Opened after ${opened} ms; what was sent came back after ${came} ms.`) : fails("What came back is not what was sent.", "Something on the way changes what passes. TLS keeps it out."));
    };
    socket.onclose = ({ code }) => {
      end(fails(opened ? `Closed with ${code} before anything came back.` : `Refused after ${since()} ms (code ${code}).`, advice));
    };
  });
}

export async function longPoll(base) {
  const { answer, ms, error } = await timed((signal) => ask(`${base}poll?secs=${POLL_SECS}`, { signal }));
  const advice = `Something on the way does not wait ${POLL_SECS} s for an answer. Long polls may take half a minute and longer: raise the proxy's time limit for answers (in nginx proxy_read_timeout).`;
  if (error) return fails(`No answer after ${seconds(ms)}: ${error}.`, advice);
  if (!answer.ok) return fails(`Answered with ${answer.status} after ${seconds(ms)}.`, advice);
  if (ms < POLL_SECS * 900) return fails(`Answered after ${seconds(ms)}, too early.`, "Something before the hub answers in its place, perhaps a cache.");
  return passes(`An answer that takes ${POLL_SECS} s came after ${seconds(ms)}.`);
}

// Runs `work` with a signal that ends it; returns what it returned, or the error in words, and how long it took.
async function timed(work) {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), PATIENCE_MS);
  const begun = performance.now();
  try {
    const answer = await work(abort.signal);
    return { answer, ms: performance.now() - begun };
  } catch (error) {
    const words = abort.signal.aborted ? "the page gave up" : `the connection broke (${error.message})`;
    return { error: words, ms: performance.now() - begun };
  } finally {
    clearTimeout(timer);
  }
}

function ask(address, { signal, headers = {} }) {
  return fetch(address, { signal, headers, cache: "no-store", credentials: "same-origin" });
}

const passes = (found) => ({ result: "passes", found, advice: "" });
const limited = (found, advice) => ({ result: "limited", found, advice });
const fails = (found, advice) => ({ result: "fails", found, advice });
const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;

function clock(ahead) {
  const off = Math.abs(ahead) / 1000;
  if (off < 1) return "The hub's clock agrees with this machine's.";
  return `The hub's clock is ${off < 120 ? `${off.toFixed(0)} s` : `${(off / 60).toFixed(0)} min`} ${ahead > 0 ? "ahead" : "behind"}.`;
}
