// A chat room for its members: messages are private updates, and presence shows who is there.
import { HUB, allow, page, publish, serve } from "../support/app.mjs";

const TOPIC = "https://example.com/rooms/lobby";
const MEMBERS = ["ada", "ben", "cleo"];
const MESSAGES_MAX = 100;
const TEXT_CHARS_MAX = 2000;
const messages = []; // the last ones: { id, from, text, at }
let cursor = "earliest";

// Where the hub lists the subscriptions of the room, and the topics of its events about them.
const PRESENCE = `${new URL(HUB).pathname}/subscriptions/exact/${encodeURIComponent(TOPIC)}`;
const EVENTS = `${PRESENCE}/:subscriber`;

async function say(from, text) {
  const message = { id: crypto.randomUUID(), from, text: text.slice(0, TEXT_CHARS_MAX), at: Date.now() };
  messages.push(message);
  try {
    cursor = await publish(TOPIC, message, { private: "on" });
  } catch (error) {
    messages.splice(messages.indexOf(message), 1); // its sender will send it again
    throw error;
  }
  if (messages.length > MESSAGES_MAX) messages.shift();
  return Response.json(message, { status: 201 });
}

serve({
  // A real application takes the user from its session, here and below.
  "GET /": (url) => {
    const user = url.searchParams.get("user") ?? "ada";
    const values = { user, topic: TOPIC, presence: new URL(PRESENCE, HUB).href, events: EVENTS };
    if (!MEMBERS.includes(user)) return page(import.meta.url, values);
    const topics = [TOPIC, PRESENCE, { match: EVENTS, match_type: "urlpattern" }];
    return page(import.meta.url, values, allow(user, topics, { name: user }));
  },
  "GET /messages": (url) =>
    MEMBERS.includes(url.searchParams.get("user")) ? Response.json({ messages, cursor }) : new Response("for members", { status: 403 }),
  "POST /messages": (_url, form) =>
    MEMBERS.includes(form.get("user")) ? say(form.get("user"), form.get("text")) : new Response("for members", { status: 403 }),
});
