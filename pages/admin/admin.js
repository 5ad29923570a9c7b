// The operators' page: signing in, the views, and what is asked again while they are shown.

import { get, isSignedIn, signIn, signOut, whenSignedOut } from "./api.js";
import * as connections from "./connections.js";
import { element, say } from "./dom.js";
import * as explain from "./explain.js";
import * as history from "./history.js";
import "./hub.js";
import { drawCharts, drawFacts } from "./overview.js";
import * as tokens from "./tokens.js";
import * as topics from "./topics.js";

const AGAIN_MS = 1000;
const VIEWS = {
  overview: { enter: drawCharts },
  connections: { enter: connections.show },
  topics: { enter: topics.show, again: topics.show },
  history: { enter: history.show },
  explain: { enter: () => {} },
  tokens: { enter: tokens.show },
  hub: { enter: () => {} },
};

let view = null;

whenSignedOut((why) => {
  showSignIn();
  say(element("sign-in-said"), why, false);
});
element("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  void tryToken(element("token").value);
});
element("sign-out").addEventListener("click", () => {
  signOut();
  showSignIn();
});
addEventListener("hashchange", () => isSignedIn() && enter(named()));
topics.whenLookedAt((name, topic) => {
  if (name === "explain") explain.about(topic);
  // The view shows the topic instead of what it would show by itself.
  enter(name, name === "history" ? () => history.show(topic) : name === "connections" ? () => connections.show({ topic }) : undefined);
  window.history.pushState(null, "", `#${name}`);
});

if (isSignedIn()) await begin();
else showSignIn();
document.documentElement.dataset.ready = "true";
void keepLooking();

async function tryToken(given) {
  say(element("sign-in-said"), "");
  signIn(given);
  try {
    await get("state");
  } catch (error) {
    signOut();
    // A wrong token has been told already.
    return error.status === 401 || say(element("sign-in-said"), error.message, false);
  }
  element("token").value = "";
  await begin();
}

async function begin() {
  element("views").hidden = false;
  element("sign-out").hidden = false;
  await look();
  if (isSignedIn()) enter(named());
}

function showSignIn() {
  view = null;
  for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== "view-sign-in";
  element("views").hidden = true;
  element("sign-out").hidden = true;
  stand("closed", "Signed out");
  document.title = "Tidings: operators";
  element("token").focus();
}

function named() {
  const name = location.hash.slice(1);
  return name in VIEWS ? name : "overview";
}

function enter(name, fill = VIEWS[name].enter) {
  const changed = view !== name && view !== null;
  view = name;
  for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== `view-${name}`;
  for (const link of document.querySelectorAll("#views a")) {
    if (link.hash === `#${name}`) {
      link.setAttribute("aria-current", "page");
    } else {
      link.removeAttribute("aria-current");
    }
  }
  const heading = document.querySelector(`#view-${name} h1`);
  document.title = `${heading.textContent} · Tidings`;
  if (changed) {
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
  void quietly(fill);
}

// Asks again and again for what changes, while somebody can see it.
async function keepLooking() {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    if (document.hidden || !isSignedIn() || view === null) continue;
    await look();
    if (view !== null) await quietly(VIEWS[view].again ?? (() => {}));
  }
}

async function look() {
  try {
    const state = await get("state");
    drawFacts(state);
    if (state.stopping) stand("failed", "Stopping");
    else if (state.ready) stand("open", "Ready");
    else stand("failed", "Not ready");
    if (view === "overview") await quietly(drawCharts);
  } catch (error) {
    if (error.status === 401) return;
    stand("failed", error.status === 0 ? "No answer" : "Refused");
    if (error.status === 403) {
      signOut();
      showSignIn();
      say(element("sign-in-said"), error.message, false);
    }
  }
}

// How the hub stands is said in the corner; a view that cannot be filled stays as it was.
async function quietly(fill) {
  try {
    await fill();
  } catch {}
}

function stand(state, text) {
  const place = element("state");
  if (place.textContent === text) return;
  place.dataset.state = state;
  place.textContent = text;
}
