// The programs of the README as they stand, but for the hub's address, with the package as it is packed.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openChromium, waitForTexts } from "../../../../conformance/browser/support/chromium.mjs";
import { Hub, until } from "../../../../conformance/browser/support/hub.mjs";
import { listen } from "../../../../conformance/browser/support/ports.mjs";
import { PACKAGE, install, pack, run } from "../support/installed.mjs";

const README = [...(await readFile(join(PACKAGE, "README.md"), "utf8")).matchAll(/^```(\w+)\n(.*?)^```$/gms)];
const [, CONNECT, SCRIPT, TYPED, FOLLOW, REACT, VITE_CONFIG, VUE] = README.map(([, , text]) => text);
const HUB = "https://hub.example.com";

/** What a new project of Vite has, with React. */
const VITE = { vite: "8.4.0", "@vitejs/plugin-react": "6.3.0" };
const INSTALL_MS_MAX = 180000;

test("each program of the README is known to these tests", () => {
  assert.equal(README.map(([, language]) => language).join(" "), "sh js html ts js jsx js vue sh");
});

test("in Node.js, the README's connection and its loop receive updates", async (t) => {
  const hub = await Hub.start(t);
  const folder = await install(t, "module");
  const start = async (name, text) => {
    await writeFile(join(folder, name), text);
    const child = spawn(process.execPath, [name], { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
    t.after(() => child.kill("SIGKILL"));
    const running = { child, output: "" };
    child.stdout.setEncoding("utf8").on("data", (text) => (running.output += text));
    return running;
  };
  const connected = await start("connect.mjs", CONNECT.replace(HUB, hub.origin));
  const loop = await start("loop.mjs", FOLLOW.replace("\n\n", `\nconst hub = "${hub.origin}/.well-known/mercure";\n`));
  await hub.subscribers(2);
  await hub.publish("https://example.com/books/1", "a book", { type: "stock" });
  await hub.publish("https://example.com/books/1/reviews", "a review");
  await until(() => connected.output === "stock a book\nmessage a review\n", () => connected.output);
  for (const data of ["half", "done"]) await hub.publish("https://example.com/jobs/7", data);
  await until(() => loop.child.exitCode === 0, () => loop.output);
  assert.equal(loop.output, "half\ndone\n");
});

test("without npm, the README's script receives updates", async (t) => {
  const hub = await Hub.start(t);
  const page = await (await openChromium(t)).newPage();
  const seen = [];
  page.on("console", async (line) => seen.push((await line.args()[0].jsonValue()).data));
  const body = `<!doctype html><meta charset="utf-8"><title>A page</title>${SCRIPT.replaceAll(HUB, hub.origin)}`;
  const server = createServer((_, response) => response.writeHead(200, { "Content-Type": "text/html" }).end(body));
  await page.goto(`http://localhost:${await listen(t, server)}/`);
  await hub.subscribers(1);
  await hub.publish("https://example.com/anything", "hello");
  await until(() => seen.includes("hello"), () => `${seen}`);
});

test("the README's typed payload compiles", async (t) => {
  const folder = await install(t, "module");
  await writeFile(join(folder, "use.ts"), `import { connect } from "tidings-client";\ndeclare const hub: string;\n${TYPED}`);
  const options = ["--strict", "--noEmit", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler", "use.ts"];
  await run("node_modules/typescript/bin/tsc", options, { cwd: folder }).catch(({ stdout }) => assert.fail(stdout));
});

test("the README's component of Vue is rendered on a server", async (t) => {
  const folder = await install(t, "module");
  const render = `
import { compileScript, parse } from "vue/compiler-sfc";
import { readFileSync, writeFileSync } from "node:fs";
import { createSSRApp } from "vue";
import { renderToString } from "vue/server-renderer";
const { descriptor } = parse(readFileSync("Price.vue", "utf8"));
writeFileSync("price.mjs", compileScript(descriptor, { id: "price", inlineTemplate: true, templateOptions: { ssr: true, ssrCssVars: [] } }).content);
const { default: Price } = await import("./price.mjs");
console.log(await renderToString(createSSRApp(Price, { id: 1 })));
`;
  await writeFile(join(folder, "Price.vue"), VUE);
  await writeFile(join(folder, "render.mjs"), render);
  const { stdout } = await run(process.execPath, ["render.mjs"], { cwd: folder });
  // On a server nothing is connected.
  assert.equal(stdout, "<p>closed</p>\n");
});

test("in a new project of Vite and React, the README's component goes on after a restart of the hub", async (t) => {
  const hub = await Hub.start(t);
  const folder = await mkdtemp(join(tmpdir(), "tidings-vite-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const { devDependencies } = JSON.parse(await readFile(join(PACKAGE, "package.json"), "utf8"));
  const { react, "react-dom": dom } = devDependencies;
  const dependencies = { "tidings-client": `file:${await pack(folder)}`, react, "react-dom": dom, ...VITE };
  const main = `import { createRoot } from "react-dom/client";
${REACT}
createRoot(document.querySelector("#root")).render(<Price id={7} />);
`;
  await mkdir(join(folder, "src"));
  const files = {
    "package.json": JSON.stringify({ private: true, type: "module", dependencies }),
    "vite.config.js": VITE_CONFIG.replace("http://localhost:4400", hub.origin),
    "index.html": `<!doctype html><div id="root"></div><script type="module" src="/src/main.jsx"></script>`,
    "src/main.jsx": main,
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  await run("npm", ["install", "--no-audit", "--no-fund"], { cwd: folder, timeout: INSTALL_MS_MAX });
  await run("npx", ["vite", "build"], { cwd: folder });
  const vite = spawn("npx", ["vite", "--port", "0", "--host", "127.0.0.1"], { cwd: folder, detached: true, stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => process.kill(-vite.pid, "SIGKILL"));
  let output = "";
  vite.stdout.setEncoding("utf8").on("data", (text) => (output += text));
  const address = () => /http:\/\/127\.0\.0\.1:\d+/.exec(output.replaceAll(/\u001b\[\d+m/g, ""))?.[0];
  await until(address, () => output);
  const page = await (await openChromium(t)).newPage();
  await page.goto(address());
  await hub.subscribers(1);
  const topic = "https://example.com/products/7/price";
  await hub.publish(topic, { price: "12.50" });
  await waitForTexts(page, "#root p", ["12.50"]);
  await hub.kill();
  await hub.run();
  await hub.publish(topic, { price: "13.00" });
  await waitForTexts(page, "#root p", ["13.00"]);
});
