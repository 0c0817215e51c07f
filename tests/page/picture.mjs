// The README's picture: a thousand streams in five rooms, and one of the rooms, with two streams over the network.
//
//     node tests/page/picture.mjs       writes docs/dashboard.png
//
// On an idle machine, with the right to real-time priorities: a browser beside the server takes time from it, so
// the browser is run at a lower priority, and a picture with late ticks is not kept.

import { writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";

import { close, visit } from "./browser.mjs";
import { ROOT, Server, sender, sleep, tone } from "./server.mjs";

/** Rooms beside `main`, and how many streams are in each. */
const ROOMS = { sales: 12, support: 40, "stage-left": 8, "night-desk": 3 };

const rooms = Object.keys(ROOMS).flatMap((name) => ["--room", name]);
const server = await Server.start(["--realtime", "--synthetic", "998", "--playout-delay", "400ms", "--tcp", "0", "--recordings", path.join(ROOT, "target/page"), ...rooms]);
const api = async (method, place, body) => {
  const answer = await fetch(new URL(`api/v1/${place}`, server.address), { method, headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${method} ${place}: ${answer.status} ${await answer.text()}`);
};
for (const [id, hertz] of [["desk-1", 330], ["desk-2", 470]]) {
  const line = await sender(await server.tcp(), id);
  // As fast as it plays, as a desk would.
  const sound = tone(hertz, 60, 700);
  let at = 0;
  setInterval(() => line.write(sound.subarray(at, at += 1600)), 100).unref();
}
await sleep(500);
for (const id of ["desk-1", "desk-2"]) await api("PUT", `rooms/sales/streams/${id}`, {});
let next = 1;
for (const [name, streams] of Object.entries(ROOMS)) {
  for (let moved = 0; moved < streams; moved += 1, next += 1) {
    await api("PUT", `rooms/${name}/streams/synthetic-${String(next).padStart(4, "0")}`, {});
  }
}
await api("PATCH", "rooms/support", { gain_db: -6 });
// The browser, which begins now, has it from here; the server does not.
os.setPriority(10);
const { page, check } = await visit(`${server.address}#room=sales`, { viewport: { width: 1360, height: 1000 } });
await sleep(14_000);
await api("PATCH", "streams/synthetic-0003", { muted: true });
await sleep(2500);
await page.evaluate(() => { document.activeElement.blur(); scrollTo(0, 0); });
await page.mouse.move(5, 5);
const picture = await page.screenshot();
const late = await page.locator("#h-late").textContent();
await check();
await close();
await server.stop();
const file = late === "0" ? "docs/dashboard.png" : "target/page/dashboard.png";
writeFileSync(path.join(ROOT, file), picture);
if (late !== "0") {
  console.error(`${late} ticks were late: docs/dashboard.png is left as it is, and the picture is ${file}; try again while the machine is idle`);
  process.exit(1);
}
