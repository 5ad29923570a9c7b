// The package as it is published: packed, linted, and used from projects of each kind.

import assert from "node:assert/strict";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { PACKAGE, install, run } from "./support/installed.mjs";

/** What an application would write; the last lines must not compile. */
const USE = `
import { connect, follow, HubError, publish, type Connection, type Update } from "tidings-client";
import { connect as connectCore } from "tidings-client/core";
import { useTidings } from "tidings-client/react";

interface Book { title: string }
const hub = "https://hub.example.com/.well-known/mercure";
const connection: Connection = connect(hub, { topics: "urn:a", onUpdate: ({ data }) => data.toUpperCase(), share: "me" });
connect<Book>(hub, { topics: "urn:a", parse: JSON.parse, onUpdate: ({ data }) => data.title.toUpperCase() });
connect(hub, { topics: "urn:a", parse: (text) => ({ title: text }), onUpdate: (update: Update<Book>) => update.data.title });
connectCore(hub, { patterns: ["https://example.com/:id"], token: async () => "T" }).close();
connection.subscribe({ topics: ["urn:b"] });
publish(hub, { topic: "urn:a", data: { title: "x" } }, { signal: AbortSignal.timeout(1000) }).catch((error: HubError) => error.code === "timeout");
export async function titles(): Promise<string[]> {
  const all = [];
  for await (const { data } of follow<Book>(hub, { topics: "urn:a", parse: JSON.parse })) all.push(data.title);
  return all;
}
export function Component(): string {
  const { update, state, publish } = useTidings<Book>(hub, { topics: "urn:a", parse: JSON.parse });
  void publish({ topic: "urn:a" });
  return update?.data.title ?? state;
}
// @ts-expect-error: a payload is text unless something parses it.
connect(hub, { topics: "urn:a", onUpdate: ({ data }) => data.title });
// @ts-expect-error: there is no such option.
connect(hub, { topics: "urn:a", topik: "x" });
// @ts-expect-error: the core shares nothing.
connectCore(hub, { topics: "urn:a", share: "me" });
`;

const USE_IN_VUE = `
import { useTidings } from "tidings-client/vue";
export const title = (): string | undefined =>
  useTidings<{ title: string }>(() => "/.well-known/mercure", { topics: "urn:a", parse: JSON.parse }).update.value?.data.title;
`;

/** What is compiled, and how its project finds modules; the declarations of Vue take too long to check as well. */
const PROJECTS = [
  { use: USE, type: "module", module: "node16", moduleResolution: "node16", skipLibCheck: false },
  { use: USE, type: "commonjs", module: "node16", moduleResolution: "node16", skipLibCheck: false },
  { use: USE, type: "module", module: "esnext", moduleResolution: "bundler", skipLibCheck: false },
  { use: USE_IN_VUE, type: "module", module: "esnext", moduleResolution: "bundler", skipLibCheck: true },
];

test("publint finds nothing wrong", async () => {
  const { messages, pkg } = await publint({ pkgDir: PACKAGE, strict: true });
  assert.deepEqual(messages.map((message) => formatMessage(message, pkg)), []);
});

test("types are right for ES modules, CommonJS and bundlers", async (t) => {
  const compile = async ({ use, type, ...options }) => {
    const folder = await install(t, type);
    const compilerOptions = { strict: true, noEmit: true, target: "es2022", lib: ["es2022", "dom", "dom.iterable"], types: [], ...options };
    await writeFile(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["use.ts"] }));
    await writeFile(join(folder, "use.ts"), use);
    await run("node_modules/typescript/bin/tsc", [], { cwd: folder }).catch(({ stdout }) => assert.fail(`${type}, ${options.moduleResolution}: ${stdout}`));
  };
  for (const project of PROJECTS) await compile(project);
});

const NAMES = {
  "tidings-client": ["HubError", "connect", "follow", "publish"],
  "tidings-client/core": ["HubError", "connect", "publish"],
  "tidings-client/react": ["useTidings"],
  "tidings-client/vue": ["useTidings"],
};

test("import and require give the same names", async (t) => {
  const folder = await install(t, "module");
  const ask = (name) => `console.log(JSON.stringify(Object.keys(loaded).filter((name) => name !== "module.exports" && name !== "__esModule" && name !== "default").sort()), ${JSON.stringify(name)});`;
  for (const [name, expected] of Object.entries(NAMES)) {
    await writeFile(join(folder, "import.mjs"), `import * as loaded from "${name}"; ${ask(name)}`);
    await writeFile(join(folder, "require.cjs"), `const loaded = require("${name}"); ${ask(name)}`);
    for (const file of ["import.mjs", "require.cjs"]) {
      const { stdout } = await run("node", [file], { cwd: folder });
      assert.equal(stdout, `${JSON.stringify(expected)} ${name}\n`, file);
    }
  }
});

test("the package holds what it needs: licences, a readme that begins with npm, and no sources", async (t) => {
  const folder = join(await install(t, "module"), "node_modules/tidings-client");
  assert.deepEqual((await readdir(folder)).sort(), ["LICENSE-APACHE", "LICENSE-MIT", "README.md", "dist", "package.json"]);
  const readme = await readFile(join(folder, "README.md"), "utf8");
  assert.match(readme.slice(0, 1200), /npm install tidings-client/);
  // Links that lead out of the package lead nowhere for who reads it in a registry.
  assert.doesNotMatch(readme, /\]\(\.\.?\//);
});
