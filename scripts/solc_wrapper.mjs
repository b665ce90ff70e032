// The pinned compiler of npm's `solc` behind the command line of the native one, for networks where py-solc-x cannot download that.
// Speaks what py-solc-x asks for: `--version`, and `--standard-json` on stdin.
import { readFileSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";

// Remapped imports are relative to the repository's root, wherever the compiler is started.
const root = fileURLToPath(new URL("..", import.meta.url));
const solc = createRequire(import.meta.url)("solc");

// A pipe takes 64 KiB at a time and process.exit drops the rest, so write until all of it is gone.
function writeAll(text) {
  const bytes = Buffer.from(text, "utf8");
  let offset = 0;
  while (offset < bytes.length) {
    try {
      offset += writeSync(1, bytes, offset);
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
    }
  }
}

// Brownie leaves remapped imports (node_modules/@openzeppelin/…) to the compiler.
function findImport(path) {
  try {
    return { contents: readFileSync(resolve(root, path), "utf8") };
  } catch (error) {
    return { error: `${path}: ${error.code}` };
  }
}

const options = process.argv.slice(2);
if (options.includes("--version")) {
  writeAll(`solc, the solidity compiler commandline interface\nVersion: ${solc.version()}\n`);
} else if (options.includes("--standard-json")) {
  writeAll(solc.compile(readFileSync(0, "utf8"), { import: findImport }));
} else {
  process.stderr.write("only --version and --standard-json are supported\n");
  process.exitCode = 2;
}
