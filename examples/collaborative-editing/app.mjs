// Collaborative editing with Yjs: changes go to the application, which merges and publishes them; browsers follow.
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve, sep } from "node:path";
import { page, publish, serve } from "../support/app.mjs";

// The folder with the packages yjs and lib0, which the page loads too.
const MODULES = resolve(process.env.MODULES ?? "node_modules");
const Y = createRequire(`${MODULES}${sep}`)("yjs");
const TOPIC = "https://example.com/documents/1";

const doc = new Y.Doc();
let cursor = "earliest";
const encode = (bytes) => Buffer.from(bytes).toString("base64");

function file(path) {
  const asked = resolve(MODULES, path);
  const found = [asked, `${asked}.js`].find((name) => /\.m?js$/.test(name) && existsSync(name));
  const allowed = ["yjs", "lib0"].some((name) => asked.startsWith(`${MODULES}${sep}${name}${sep}`));
  if (!found || !allowed) return new Response("not found", { status: 404 });
  return new Response(readFileSync(found), { headers: { "Content-Type": "text/javascript" } });
}

serve({
  "GET /": () => page(import.meta.url, { topic: TOPIC }),
  "GET /document": () => Response.json({ state: encode(Y.encodeStateAsUpdate(doc)), cursor }),

  // A real application asks here whether the user may change the document.
  "POST /document": async (_url, form) => {
    const change = form.get("change");
    Y.applyUpdate(doc, Buffer.from(change, "base64"));
    cursor = await publish(TOPIC, change);
    return new Response(null, { status: 204 });
  },

  "GET *": (url) => file(decodeURIComponent(url.pathname).replace(/^\/modules\//, "")),
});
