// The README's picture: a thousand streams, two of them over the network.
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

const server = await Server.start(["--realtime", "--synthetic", "998", "--playout-delay", "400ms", "--tcp", "0", "--recordings", path.join(ROOT, "target/page")]);
for (const [id, hertz] of [["desk-1", 330], ["desk-2", 470]]) {
  const line = await sender(await server.tcp(), id);
  // As fast as it plays, as a desk would.
  const sound = tone(hertz, 60, 700);
  let at = 0;
  setInterval(() => line.write(sound.subarray(at, at += 1600)), 100).unref();
}
// The browser, which begins now, has it from here; the server does not.
os.setPriority(10);
const { page, check } = await visit(server.address, { viewport: { width: 1360, height: 850 } });
await sleep(14_000);
await page.getByRole("button", { name: "Mute synthetic-0003" }).click();
await page.getByRole("button", { name: "desk-2", exact: true }).click();
await sleep(2500);
await page.evaluate(() => document.activeElement.blur());
await page.mouse.move(5, 5);
const picture = await page.screenshot();
const late = await page.locator("#h-late").textContent();
await check();
await close();
await server.stop();
if (late !== "0") {
  console.error(`${late} ticks were late: docs/dashboard.png is left as it is; try again while the machine is idle`);
  process.exit(1);
}
writeFileSync(path.join(ROOT, "docs/dashboard.png"), picture);
