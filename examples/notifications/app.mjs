// Notifications: each user receives their own, and finds those that came while the page was closed.
import { allow, page, publish, serve } from "../support/app.mjs";

const users = new Map(); // a user's name, and { items, cursor }
const topicOf = (user) => `https://example.com/users/${encodeURIComponent(user)}/notifications`;
const stateOf = (user) => users.get(user) ?? { items: [], cursor: "earliest" };

serve({
  // A real application takes the user from its session.
  "GET /": (url) => {
    const user = url.searchParams.get("user") ?? "ada";
    return page(import.meta.url, { user, topic: topicOf(user) }, allow(user, topicOf(user)));
  },

  // The state, and the cursor from which it is followed: never newer than the state.
  "GET /notifications": (url) => Response.json(stateOf(url.searchParams.get("user"))),

  "POST /notifications": async (_url, form) => {
    const user = form.get("user");
    const item = { id: crypto.randomUUID(), text: form.get("text") };
    const state = stateOf(user);
    users.set(user, state);
    state.items.push(item);
    state.cursor = await publish(topicOf(user), item, { private: "on" });
    return Response.json(item, { status: 201 });
  },
});
