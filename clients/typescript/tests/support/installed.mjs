// The package as it is packed, in a project of its own.

import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export const run = promisify(execFile);
export const PACKAGE = fileURLToPath(new URL("../..", import.meta.url));

/** Packs the package into a folder, and returns the file. */
export async function pack(folder) {
  const { stdout } = await run("npm", ["pack", "--ignore-scripts", "--pack-destination", folder], { cwd: PACKAGE });
  return join(folder, stdout.trim());
}

/** Installs the package as it is packed into a new project, with what its hooks need. */
export async function install(t, type) {
  const folder = await mkdtemp(join(tmpdir(), "tidings-package-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const packed = await pack(folder);
  const modules = join(folder, "node_modules");
  await mkdir(join(modules, "tidings-client"), { recursive: true });
  await run("tar", ["-xzf", packed, "-C", join(modules, "tidings-client"), "--strip-components=1"]);
  for (const name of await readdir(join(PACKAGE, "node_modules"))) {
    if (!name.startsWith(".")) await symlink(join(PACKAGE, "node_modules", name), join(modules, name));
  }
  await writeFile(join(folder, "package.json"), JSON.stringify({ type }));
  return folder;
}
