// The dashboard in headless Chromium, on the release build. Each scenario is a function whose name is the law
// that it holds; it returns its figures. Pictures and recordings go to target/page/.
//
//     node tests/page/run.mjs [NAME...]
//
// A name is that of a scenario or of a file of them; all run if none is named.

import { mkdirSync } from "node:fs";
import path from "node:path";

import { close } from "./browser.mjs";
import * as cluster from "./cluster.mjs";
import * as first from "./first.mjs";
import * as rooms from "./rooms.mjs";
import { ROOT, Server } from "./server.mjs";
import * as sound from "./sound.mjs";
import * as steer from "./steer.mjs";
import * as talking from "./talking.mjs";
import * as trouble from "./trouble.mjs";
import * as view from "./view.mjs";

/** No scenario takes longer. */
const LIMIT_MS = 90_000;

const named = { view, first, steer, rooms, sound, talking, trouble, cluster };
const files = Object.values(named);
const known = Object.assign({}, named, ...files);
const unknown = process.argv.slice(2).filter((name) => !(name in known));
const wanted = process.argv.slice(2).flatMap((name) => (name in named ? Object.keys(named[name]) : [name]));
if (unknown.length > 0) {
  console.error(`no scenario or file of them is called ${unknown.join(", ")}; there are:\n${Object.keys(known).join("\n")}`);
  process.exit(2);
}
mkdirSync(path.join(ROOT, "target/page"), { recursive: true });

let failed = 0;
// As the files have them: those of `view` share a server, which then makes room for the others.
const order = files.flatMap((file) => Object.entries(file).map(([name, scenario]) => [file, name, scenario]));
const source = new Map(files.map((file) => [file, 0]));
for (const [file, name, scenario] of order) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  if (file !== view && source.get(file) === 0) await Server.stopAll();
  source.set(file, 1);
  const begun = Date.now();
  let timer;
  try {
    const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error("it takes too long")), LIMIT_MS); });
    const figures = await Promise.race([scenario(), late]);
    console.log(`ok   ${name} (${((Date.now() - begun) / 1000).toFixed(1)} s): ${figures}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL ${name} (${((Date.now() - begun) / 1000).toFixed(1)} s): ${error.message}`);
    if (file !== view) await Server.stopAll();
  } finally {
    clearTimeout(timer);
  }
}
await close();
await Server.stopAll();
process.exit(failed > 0 ? 1 : 0);
