// A live table: the stock of a warehouse, which several people look at and change. Each row has a topic, so that a page
// subscribes only to what it shows.
import { page, publish, serve } from "../support/app.mjs";

const SHELVES = ["A", "B"];
const COUNT_MAX = 1_000_000;
const items = new Map(); // the id of an item, and { id, version, name, shelf, count, removed }
let cursor = "earliest";
const topicOf = ({ id, shelf }) => `https://example.com/shelves/${shelf}/items/${id}`;

// A change names the version that its author saw. If somebody else was faster, it is refused, with the present row.
async function change(form) {
  const before = items.get(form.get("id"));
  if (!before || String(before.version) !== form.get("version")) {
    return Response.json(before ?? null, { status: 409 });
  }
  const after = { ...before, version: before.version + 1 };
  if (form.has("count")) after.count = Math.min(Math.max(Number(form.get("count")) || 0, 0), COUNT_MAX);
  if (SHELVES.includes(form.get("shelf"))) after.shelf = form.get("shelf");
  if (form.has("removed")) after.removed = true; // a mark: pages that are away must learn of it too
  return store(after, before);
}

async function store(item, before = item) {
  items.set(item.id, item);
  // An item that moves is published under its old topic too: a page that shows only that shelf takes it out.
  cursor = await publish([...new Set([topicOf(item), topicOf(before)])], item);
  return Response.json(item);
}

serve({
  "GET /": (url) => {
    const shelf = SHELVES.find((name) => name === url.searchParams.get("shelf")) ?? null;
    return page(import.meta.url, { shelf, shelves: SHELVES, pattern: `https://example.com/shelves/${shelf ?? ":shelf"}/items/:id` });
  },
  "GET /items": () => Response.json({ items: [...items.values()], cursor }),
  "POST /items": (_url, form) =>
    store({ id: crypto.randomUUID(), version: 1, name: form.get("name"), shelf: SHELVES[0], count: 0, removed: false }),
  "POST /change": (_url, form) => change(form),
});
